# Finds the core of CAF, the C++ Actor Framework, whose package in Debian 12 has no CMake files.
# Makes the target CAF::core; sets CAF_FOUND and CAF_VERSION. Used by the build, and by whoever
# uses an installed waybill::node.
find_path(CAF_INCLUDE_DIRECTORY caf/config.hpp)
find_library(CAF_CORE_LIBRARY caf_core)
mark_as_advanced(CAF_INCLUDE_DIRECTORY CAF_CORE_LIBRARY)

unset(CAF_VERSION)
if(CAF_INCLUDE_DIRECTORY)
  # One number: 1706 is 0.17.6.
  file(STRINGS ${CAF_INCLUDE_DIRECTORY}/caf/config.hpp CAF_VERSION
       REGEX "^#define CAF_VERSION [0-9]+$" LIMIT_COUNT 1)
  string(REGEX REPLACE "[^0-9]" "" CAF_VERSION "${CAF_VERSION}")
  if(CAF_VERSION)
    math(EXPR caf_major "${CAF_VERSION} / 10000")
    math(EXPR caf_minor "${CAF_VERSION} / 100 % 100")
    math(EXPR caf_patch "${CAF_VERSION} % 100")
    set(CAF_VERSION ${caf_major}.${caf_minor}.${caf_patch})
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CAF REQUIRED_VARS CAF_CORE_LIBRARY CAF_INCLUDE_DIRECTORY
                                  VERSION_VAR CAF_VERSION)
if(CAF_FOUND AND NOT TARGET CAF::core)
  find_package(Threads REQUIRED)
  add_library(CAF::core UNKNOWN IMPORTED)
  set_target_properties(CAF::core PROPERTIES
                        IMPORTED_LOCATION "${CAF_CORE_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${CAF_INCLUDE_DIRECTORY}"
                        INTERFACE_LINK_LIBRARIES Threads::Threads)
endif()
