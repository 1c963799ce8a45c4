# A Debian package: `cpack -G DEB` in the build folder. tests/package-check tries it out.
set(FLEETHUB_MAINTAINER "Fleethub maintainers <maintainers@fleethub.example>" CACHE STRING
    "who answers for the package, as name and address")
set(CPACK_PACKAGE_NAME fleethub)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/package)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_SET_DESTDIR ON) # because of /etc
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR DEB)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${FLEETHUB_MAINTAINER})
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_DEPENDS adduser)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "nats-server, postgresql, prometheus")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "hub for fleets of vehicles: digital twins and their record
Vehicles publish telemetry and events over NATS, through leaf nodes at the
edge. The hub keeps a digital twin of each, answers what the fleet is doing
over HTTP, carries commands to groups of vehicles, and puts every event on
record in PostgreSQL exactly once, whatever is killed when.
.
It needs a nats-server with JetStream and a PostgreSQL, here or elsewhere,
and starts once its configuration names them.")
set(scripts ${PROJECT_SOURCE_DIR}/deploy/debian)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${scripts}/conffiles ${scripts}/postinst ${scripts}/prerm ${scripts}/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# What only a Debian package has, as a tree that is laid over the installation.
set(tree ${PROJECT_BINARY_DIR}/documents/debian)
configure_file(${scripts}/copyright ${tree}/usr/share/doc/fleethub/copyright COPYONLY)
configure_file(${scripts}/lintian-overrides ${tree}/usr/share/lintian/overrides/fleethub COPYONLY)
string(TIMESTAMP now "%a, %d %b %Y %H:%M:%S +0000" UTC) # of SOURCE_DATE_EPOCH where that is set
set(changelog ${tree}/usr/share/doc/fleethub/changelog.Debian)
file(WRITE ${changelog}
     "fleethub (${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}) stable; urgency=medium\n\n"
     "  * Built from its repository, whose log says what has changed.\n\n"
     " -- ${FLEETHUB_MAINTAINER}  ${now}\n")
find_program(GZIP_PROGRAM gzip REQUIRED)
execute_process(COMMAND ${GZIP_PROGRAM} -9nf ${changelog} COMMAND_ERROR_IS_FATAL ANY)
set(CPACK_INSTALLED_DIRECTORIES ${tree} /)
include(CPack)
