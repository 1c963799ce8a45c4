# Run by the installation: /etc goes with the prefix /usr, every other prefix has an etc of its own, and
# the unit names the paths as they are. DESTDIR is taken into account by file(INSTALL).
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  set(etc /etc)
else()
  set(etc ${CMAKE_INSTALL_PREFIX}/etc)
endif()
set(made ${FLEETHUB_BINARY_DIR}/documents/system)

file(READ ${FLEETHUB_SOURCE_DIR}/deploy/systemd/fleethub.service unit)
string(REPLACE "/usr/bin/fleethub" "${CMAKE_INSTALL_PREFIX}/bin/fleethub" unit "${unit}")
string(REPLACE "/etc/fleethub" "${etc}/fleethub" unit "${unit}")
file(WRITE ${made}/fleethub.service "${unit}")
file(INSTALL ${made}/fleethub.service DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/systemd/system)

# A configuration that is there already is the operator's.
if(NOT EXISTS $ENV{DESTDIR}${etc}/fleethub/fleethub.yaml)
  file(INSTALL ${FLEETHUB_SOURCE_DIR}/deploy/fleethub.yaml DESTINATION ${etc}/fleethub)
endif()
file(MAKE_DIRECTORY ${made}/secrets)
file(INSTALL ${made}/secrets DESTINATION ${etc}/fleethub TYPE DIRECTORY
     DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)

# Debian's zsh looks elsewhere for what packages bring.
if(EXISTS ${FLEETHUB_BINARY_DIR}/documents/completion.zsh)
  if(CMAKE_INSTALL_PREFIX STREQUAL "/usr" AND EXISTS /etc/debian_version)
    set(zsh vendor-completions)
  else()
    set(zsh site-functions)
  endif()
  file(INSTALL ${FLEETHUB_BINARY_DIR}/documents/completion.zsh RENAME _fleethub
       DESTINATION ${CMAKE_INSTALL_PREFIX}/share/zsh/${zsh})
endif()
