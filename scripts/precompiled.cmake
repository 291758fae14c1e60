# Headers that take seconds to read are read once in a build, and not once per target.

# waybill_precompile(NAME HEADERS <header>… LIBRARIES target…): a set of headers, read once.
function(waybill_precompile name)
  cmake_parse_arguments(P "" "" "HEADERS;LIBRARIES" ${ARGN})
  # A library needs a source, if only an empty one.
  set(source ${PROJECT_BINARY_DIR}/precompiled/${name}.cpp)
  if(NOT EXISTS ${source})
    file(WRITE ${source} "")
  endif()
  add_library(waybill_precompiled_${name} OBJECT ${source})
  target_link_libraries(waybill_precompiled_${name} PRIVATE waybill_options ${P_LIBRARIES})
  target_precompile_headers(waybill_precompiled_${name} PRIVATE ${P_HEADERS})
endfunction()

# waybill_use_precompiled(TARGET NAME): TARGET's sources get the headers of that set. Its options
# must be those of `waybill_options`; definitions of its own do no harm.
function(waybill_use_precompiled target name)
  target_precompile_headers(${target} REUSE_FROM waybill_precompiled_${name})
endfunction()
