# Every foreign library, found once, as one imported target each. All come from Debian 12.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.13)
pkg_check_modules(LIBPQ REQUIRED IMPORTED_TARGET libpq)
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd>=0.9.71)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)
pkg_check_modules(SSL REQUIRED IMPORTED_TARGET libssl)
pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)

# nats.c ships no pkg-config file in Debian 12; newer ones bring libnats.pc.
find_path(NATS_INCLUDE_DIR nats/nats.h REQUIRED)
find_library(NATS_LIBRARY NAMES nats REQUIRED)
add_library(nats_c INTERFACE)
target_include_directories(nats_c SYSTEM INTERFACE ${NATS_INCLUDE_DIR})
target_link_libraries(nats_c INTERFACE ${NATS_LIBRARY})
