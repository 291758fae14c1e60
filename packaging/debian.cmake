# The packages for Debian: `waybill`, the programs and the service; `waybill-dev`, what programs of
# one's own are built with. From a built tree:
#   cpack --config build/release/CPackConfig.cmake -B build/packages
set(WAYBILL_PACKAGE_MAINTAINER "Waybill maintainers <waybill@localhost>"
    CACHE STRING "Who answers for the packages that are built here")
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT ${WAYBILL_PACKAGE_MAINTAINER})
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL runtime dev)
set(CPACK_STRIP_FILES ON)
# The install scripts see /usr, and write below DESTDIR: so /etc is where it belongs.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME waybill)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION net)
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION "message broker that never loses a confirmed message
A producer gets a receipt for a message only when it is on disk. A consumer
that dies before it acknowledges gets the message again. What nobody can
process ends as a dead letter, with the reason. And the broker keeps books,
which `waybill audit` proves to balance.

This package has the command line (waybill), a node (waybilld), and a systemd
unit for it, which is not started by itself.")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
# For systemd-sysusers, which makes the node's user.
set(CPACK_DEBIAN_RUNTIME_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA
    ${CMAKE_CURRENT_SOURCE_DIR}/debian/conffiles ${CMAKE_CURRENT_SOURCE_DIR}/debian/postinst
    ${CMAKE_CURRENT_SOURCE_DIR}/debian/prerm ${CMAKE_CURRENT_SOURCE_DIR}/debian/postrm)

set(CPACK_DEBIAN_DEV_PACKAGE_NAME waybill-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_COMPONENT_DEV_DESCRIPTION "client library of the message broker Waybill, and its node as a library
For CMake's find_package(waybill): waybill::client, and waybill::node for a
node in a program of one's own. With the Cap'n Proto schemas, for clients in
other languages.")
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS
    "libcapnp-dev (>= ${CapnProto_VERSION}), libcapnp-dev (<< ${CapnProto_VERSION}.1~), libxxhash-dev, libzstd-dev")
set(CPACK_DEBIAN_DEV_PACKAGE_RECOMMENDS "libcaf-dev, libleveldb-dev, libsnappy-dev")
include(CPack)
