# Part of `cmake --install`: what a node is told by the machine it runs on. Needs
# `written_directory` (what waybill_manual wrote) and `sysconf_directory`.
cmake_policy(VERSION 3.25)
set(sysconf "${CMAKE_INSTALL_PREFIX}/${sysconf_directory}")
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  set(sysconf /etc) # there is no /usr/etc
endif()

# A configuration that somebody has changed is theirs.
set(place "${sysconf}/waybill/waybilld.ini")
file(READ "${written_directory}/waybilld.ini" text)
if(EXISTS "$ENV{DESTDIR}${place}")
  file(READ "$ENV{DESTDIR}${place}" present)
  if(NOT present STREQUAL text)
    message(STATUS "Kept as it is: $ENV{DESTDIR}${place}")
    string(APPEND place .new)
  endif()
endif()
message(STATUS "Installing: $ENV{DESTDIR}${place}")
file(WRITE "$ENV{DESTDIR}${place}" "${text}")
file(CHMOD "$ENV{DESTDIR}${place}" PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
list(APPEND CMAKE_INSTALL_MANIFEST_FILES "${place}")
