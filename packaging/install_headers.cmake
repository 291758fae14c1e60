# Part of `cmake --install`: the headers that programs may include, and all of ours that these
# include. In this tree an include is given from the root ("storage/types.hpp"); in a program whose
# own tree has such a file, that one would be found. So among themselves the installed headers
# include each other by the way from one to the other. Needs `source_directory` and
# `include_directory`, relative to the prefix.
cmake_policy(VERSION 3.25)
set(wanted net/client/client.hpp apps/node/node.hpp actors/context.hpp)
set(installed)
while(wanted)
  list(POP_FRONT wanted header)
  if(header IN_LIST installed)
    continue()
  endif()
  list(APPEND installed ${header})
  file(READ "${source_directory}/${header}" text)
  string(REGEX MATCHALL "#include \"[^\"]+\"" includes "${text}")
  foreach(include ${includes})
    string(REGEX REPLACE "#include \"(.*)\"" "\\1" include ${include})
    list(APPEND wanted ${include})
  endforeach()
  get_filename_component(folder ${header} DIRECTORY)
  string(REGEX REPLACE "[^/]+" ".." to_root ${folder})
  string(REGEX REPLACE "#include \"" "#include \"${to_root}/" text "${text}")
  set(place "${CMAKE_INSTALL_PREFIX}/${include_directory}/${header}")
  message(STATUS "Installing: $ENV{DESTDIR}${place}")
  file(WRITE "$ENV{DESTDIR}${place}" "${text}")
  file(CHMOD "$ENV{DESTDIR}${place}"
       PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
  list(APPEND CMAKE_INSTALL_MANIFEST_FILES "${place}")
endwhile()
