# Fuzz targets: tests/fuzz/fuzz_NAME.c, whose first line names the rooms it is linked with: /* rooms: smtp */
#
# With POSTERN_FUZZ (clang) each is a libFuzzer program, run by tests/fuzz/run.sh. Without it the same source is linked with replay_main.c,
# and ctest runs the seeds through it: a seed that once was a finding stays found.
file(GLOB fuzz_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/fuzz_*.c)
add_custom_target(fuzz)
foreach(source IN LISTS fuzz_sources)
  get_filename_component(target ${source} NAME_WE)
  string(REPLACE "fuzz_" "" name ${target})
  file(STRINGS ${source} first LIMIT_COUNT 1)
  if(NOT first MATCHES "^/\\* rooms: ([a-z ]+) \\*/$")
    message(FATAL_ERROR "${source}: the first line is to be /* rooms: NAME... */")
  endif()
  separate_arguments(fuzz_rooms UNIX_COMMAND "${CMAKE_MATCH_1}")
  add_executable(${target} ${source})
  target_compile_options(${target} PRIVATE -Wno-missing-prototypes) # LLVMFuzzerTestOneInput has no header
  foreach(room IN LISTS fuzz_rooms)
    target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/src/${room})
    target_link_libraries(${target} PRIVATE postern_${room})
  endforeach()
  add_dependencies(fuzz ${target})
  if(POSTERN_FUZZ)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    continue()
  endif()
  target_sources(${target} PRIVATE ${CMAKE_CURRENT_LIST_DIR}/replay_main.c)
  set(seeds ${CMAKE_CURRENT_LIST_DIR}/seeds/${name})
  if(name STREQUAL "session") # what others wrote in the target's own language
    list(APPEND seeds ${CMAKE_SOURCE_DIR}/tests/sessions)
  elseif(name STREQUAL "policy")
    list(APPEND seeds ${CMAKE_SOURCE_DIR}/policy ${CMAKE_SOURCE_DIR}/tests/policy)
  endif()
  add_test(NAME fuzz-seeds/${name} COMMAND ${target} ${seeds})
  set_tests_properties(fuzz-seeds/${name} PROPERTIES TIMEOUT 120 FAIL_REGULAR_EXPRESSION "${SANITIZER_WORDS}" LABELS seeds
                       ENVIRONMENT "POSTERN_SOURCE=${CMAKE_SOURCE_DIR}")
endforeach()
