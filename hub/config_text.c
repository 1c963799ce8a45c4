/* Judging texts of the configuration: addresses, URLs, tokens, types. */
#include "hub/config_key.h"
#include "hub/utf8.h"
#include "twin/command_params.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_MAX = 65535, PORT_MAX_DIGITS = 5, HOST_MAX_BYTES = 255 };

static bool refuse(char why[CONFIG_WHY_BYTES], const char *reason)
{
    snprintf(why, CONFIG_WHY_BYTES, "%s", reason);
    return false;
}

bool config_check_text(const char *text, char why[CONFIG_WHY_BYTES])
{
    size_t size = strlen(text), taken;
    if (size == 0)
        return refuse(why, "must not be empty");
    if (size > CONFIG_VALUE_MAX_BYTES)
        return refuse(why, "is longer than 4096 bytes");
    for (size_t i = 0; i < size; i += taken)
        if (utf8_is_control(utf8_next(text + i, size - i, &taken)))
            return refuse(why, "holds a control character or is not UTF-8");
    return true;
}

static size_t token_size(const char *text)
{
    size_t size = 0;
    while (isalnum((unsigned char)text[size]) || text[size] == '_' || text[size] == '-')
        size++;
    return size;
}

bool config_check_token(const char *text, char why[CONFIG_WHY_BYTES])
{
    size_t size = token_size(text);
    if (size == 0 || size > TOKEN_MAX_BYTES || text[size] != '\0')
        return refuse(why, "must be 1 to 64 letters, digits, `_` or `-`: it is part of subjects");
    return true;
}

bool config_check_command_type(const char *text, char why[CONFIG_WHY_BYTES])
{
    struct slice type = {text, strlen(text)};
    const char *family = command_type_steers(type);
    if (!command_type_is_well_formed(type)) {
        snprintf(why, CONFIG_WHY_BYTES,
                 "`%.64s` is no command type: one to four tokens of letters, digits, `_`, `-`",
                 text);
        return false;
    }
    if (!family)
        return true;
    snprintf(why, CONFIG_WHY_BYTES,
             "`%.64s` is refused: no `%s*` command may pass, the network is never in a control "
             "loop",
             text, family);
    return false;
}

/* Digits only, at most `max`; -1 otherwise. */
static long read_port(const char *text, size_t size)
{
    long port = 0;
    for (size_t i = 0; i < size; i++) {
        if (!isdigit((unsigned char)text[i]))
            return -1;
        port = port * 10 + (text[i] - '0');
        if (port > PORT_MAX)
            return -1;
    }
    return size > 0 && size <= PORT_MAX_DIGITS ? port : -1;
}

/* The host of "host:port" or "[host]:port", copied; false where it has not that shape. */
static bool split_listen(const char *text, char host[HOST_MAX_BYTES + 1], bool *bracketed)
{
    const char *colon = strrchr(text, ':');
    if (!colon || read_port(colon + 1, strlen(colon + 1)) < 0)
        return false;
    size_t size = (size_t)(colon - text);
    *bracketed = size >= 2 && text[0] == '[' && text[size - 1] == ']';
    if (*bracketed) {
        text++;
        size -= 2;
    }
    if (size == 0 || size > HOST_MAX_BYTES)
        return false;
    memcpy(host, text, size);
    host[size] = '\0';
    return true;
}

bool config_check_listen(const char *text, char why[CONFIG_WHY_BYTES])
{
    char host[HOST_MAX_BYTES + 1];
    bool bracketed;
    struct in_addr four;
    struct in6_addr six;
    if (!split_listen(text, host, &bracketed) ||
        (bracketed ? inet_pton(AF_INET6, host, &six) : inet_pton(AF_INET, host, &four)) != 1)
        return refuse(why, "is no address and port such as 127.0.0.1:8480, 0.0.0.0:8480 or "
                           "[::1]:8480");
    return true;
}

bool config_is_loopback(const char *listen)
{
    char host[HOST_MAX_BYTES + 1];
    bool bracketed;
    if (!split_listen(listen, host, &bracketed))
        return false;
    struct in_addr four;
    struct in6_addr six;
    if (!bracketed)
        return inet_pton(AF_INET, host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &six) == 1 &&
           (IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127));
}

/* host, host:port, [v6], [v6]:port */
static bool is_server(const char *text, size_t size)
{
    size_t host = 0;
    if (size > 0 && text[0] == '[') {
        const char *end = memchr(text, ']', size);
        if (!end || end == text + 1)
            return false;
        host = (size_t)(end - text) + 1;
    } else {
        while (host < size && text[host] != ':') {
            if (!isalnum((unsigned char)text[host]) && !strchr(".-_", text[host]))
                return false;
            host++;
        }
    }
    if (host == 0 || host > HOST_MAX_BYTES)
        return false;
    return host == size || (text[host] == ':' && read_port(text + host + 1, size - host - 1) > 0);
}

static bool is_nats_url(const char *text, size_t size)
{
    static const char *const schemes[] = {"nats://", "tls://"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t scheme = strlen(schemes[i]);
        if (size > scheme && memcmp(text, schemes[i], scheme) == 0) {
            text += scheme;
            size -= scheme;
            break;
        }
    }
    const char *at = memrchr(text, '@', size);
    if (at) {
        size -= (size_t)(at + 1 - text);
        text = at + 1;
    }
    return is_server(text, size);
}

bool config_check_nats(const char *text, char why[CONFIG_WHY_BYTES])
{
    if (!config_check_text(text, why))
        return false;
    for (const char *at = text;;) {
        size_t size = strcspn(at, ",");
        const char *end = at + size;
        for (; size > 0 && *at == ' '; size--)
            at++;
        for (; size > 0 && at[size - 1] == ' '; size--)
            ;
        /* The text may hold a password, so it is not repeated here. */
        if (!is_nats_url(at, size))
            return refuse(why, "is no list of servers such as nats://127.0.0.1:4222,tls://b:4222");
        if (*end == '\0')
            return true;
        at = end + 1;
    }
}

bool config_check_origin(const char *text, char why[CONFIG_WHY_BYTES])
{
    size_t scheme = strncmp(text, "https://", 8) == 0  ? 8
                    : strncmp(text, "http://", 7) == 0 ? 7
                                                       : 0;
    if (strcmp(text, "*") == 0 || (scheme > 0 && is_server(text + scheme, strlen(text + scheme))))
        return true;
    snprintf(
        why, CONFIG_WHY_BYTES,
        "`%.64s` is no web origin such as https://ops.example.org (no path, no `/` at the end)",
        text);
    return false;
}
