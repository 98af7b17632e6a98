# The lints, and a test that they find what they are for.
foreach(lint rooms headers files selftest)
  add_test(NAME lint/${lint} COMMAND ${CMAKE_CURRENT_LIST_DIR}/${lint}.sh)
  set_tests_properties(lint/${lint} PROPERTIES TIMEOUT 120 LABELS lint ENVIRONMENT "CC=${CMAKE_C_COMPILER}")
endforeach()
