# Transcripts: each as it is written, then all of them perturbed.
if(TARGET postern)
  add_test(NAME sessions/transcripts COMMAND postern test ${CMAKE_SOURCE_DIR}/tests/sessions)
  add_test(NAME sessions/sweep COMMAND postern test --sweep ${CMAKE_SOURCE_DIR}/tests/sessions)
  add_test(NAME sessions/policy-cases COMMAND postern test ${CMAKE_SOURCE_DIR}/policy)
  set_tests_properties(sessions/transcripts sessions/sweep sessions/policy-cases PROPERTIES FAIL_REGULAR_EXPRESSION "${SANITIZER_WORDS}")
  set_tests_properties(sessions/transcripts PROPERTIES TIMEOUT 120)
  set_tests_properties(sessions/sweep PROPERTIES TIMEOUT 900)
endif()
