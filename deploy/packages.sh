# Which Debian packages are missing, and their installation. Sourced by bash scripts; the list is
# packages.txt beside this file.
#
#   packages_need ROLES… -- says which are missing, asks unless packages_yes=1, CI is set or there is
#                           no terminal, and installs them

packages_list=$(dirname "${BASH_SOURCE[0]}")/packages.txt
packages_yes=${packages_yes:-0}

packages_missing() {
    local package role wanted=" $* "
    while read -r package role; do
        [[ $package == "" || $package == \#* || $wanted != *" $role "* ]] && continue
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            printf '%s\n' "$package"
    done <"$packages_list"
}

# As root, or through sudo.
packages_root() {
    if [[ $(id -u) == 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "this needs root, and there is no sudo: run it as root yourself: $*" >&2
        return 1
    fi
}

packages_need() {
    local missing answer install
    if ! command -v dpkg-query >/dev/null; then
        echo "This is no Debian system: what the build does not find has to be installed by hand." >&2
        return 0
    fi
    mapfile -t missing < <(packages_missing "$@")
    [[ ${#missing[@]} == 0 ]] && return 0
    install="apt-get install -y --no-install-recommends ${missing[*]}"
    echo "Debian packages are missing: ${missing[*]}"
    echo "  $install"
    if [[ -d /run/systemd/system && " ${missing[*]} " =~ " nats-server "|" postgresql " ]]; then
        echo "(Debian's nats-server and postgresql start a service of their own on loopback; nothing here"
        echo "uses it, and 'systemctl disable --now' turns it off.)"
    fi
    if [[ $packages_yes != 1 && -z ${CI:-} && -t 0 ]]; then
        read -r -p "Install them now? [Y/n] " answer
        if [[ ${answer,,} == n* ]]; then
            echo "Nothing was installed." >&2
            return 1
        fi
    fi
    packages_root env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
        packages_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
            --no-install-recommends "${missing[@]}"
}
