# Part of `cmake --install`: what a node is told by the machine that it runs on, and what the
# machine's service manager is told of the node. Needs `source_directory` (this folder),
# `written_directory` (what waybill_manual wrote), and, relative to the prefix, `bin_directory`,
# `data_directory`, `doc_directory` and `sysconf_directory`. And what a shell is told: Debian's zsh has
# places of its own.
cmake_policy(VERSION 3.25)

# write_installed(PLACE TEXT)
function(write_installed place text)
  message(STATUS "Installing: $ENV{DESTDIR}${place}")
  file(WRITE "$ENV{DESTDIR}${place}" "${text}")
  file(CHMOD "$ENV{DESTDIR}${place}" PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
  list(APPEND CMAKE_INSTALL_MANIFEST_FILES "${place}")
  set(CMAKE_INSTALL_MANIFEST_FILES "${CMAKE_INSTALL_MANIFEST_FILES}" PARENT_SCOPE)
endfunction()

set(programs "${CMAKE_INSTALL_PREFIX}/${bin_directory}")
set(documents "${CMAKE_INSTALL_PREFIX}/${doc_directory}")
set(configuration "${CMAKE_INSTALL_PREFIX}/${sysconf_directory}/waybill/waybilld.ini")
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  set(configuration /etc/waybill/waybilld.ini) # there is no /usr/etc
endif()

# A configuration that somebody has changed is theirs.
set(place "${configuration}")
file(READ "${written_directory}/waybilld.ini" text)
if(EXISTS "$ENV{DESTDIR}${place}")
  file(READ "$ENV{DESTDIR}${place}" present)
  if(NOT present STREQUAL text)
    message(STATUS "Kept as it is: $ENV{DESTDIR}${place}")
    string(APPEND place .new)
  endif()
endif()
write_installed("${place}" "${text}")

# systemd looks below /usr and /usr/local; a unit elsewhere is made known by `systemctl link`.
file(READ "${source_directory}/waybilld.service.in" text)
string(CONFIGURE "${text}" text @ONLY)
write_installed("${CMAKE_INSTALL_PREFIX}/lib/systemd/system/waybilld.service" "${text}")
file(READ "${source_directory}/waybill.sysusers" text)
write_installed("${CMAKE_INSTALL_PREFIX}/lib/sysusers.d/waybill.conf" "${text}")

set(zsh_directory "${data_directory}/zsh/site-functions")
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  set(zsh_directory "${data_directory}/zsh/vendor-completions")
endif()
foreach(program waybill waybilld)
  file(READ "${written_directory}/zsh/_${program}" text)
  write_installed("${CMAKE_INSTALL_PREFIX}/${zsh_directory}/_${program}" "${text}")
endforeach()
