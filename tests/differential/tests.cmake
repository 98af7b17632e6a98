# Against other implementations: tests/differential/NAME.py runs NAME_driver.c and a library of Debian's over the same generated inputs. Skipped where that
# library is not installed (deploy/install-deps.sh test). rates.py sets one conversation against itself.
find_program(debian_python3 python3 PATHS /usr/bin NO_DEFAULT_PATH) # the one that Debian's modules are for
if(debian_python3)
  add_executable(spf_driver ${CMAKE_CURRENT_LIST_DIR}/spf_driver.c)
  target_link_libraries(spf_driver PRIVATE postern_checks)
  add_test(NAME differential/spf COMMAND ${debian_python3} ${CMAKE_CURRENT_LIST_DIR}/spf.py $<TARGET_FILE:spf_driver>)
  set_tests_properties(differential/spf PROPERTIES LABELS differential TIMEOUT 300 SKIP_RETURN_CODE 77
                       FAIL_REGULAR_EXPRESSION "${SANITIZER_WORDS}")
  add_executable(dkim_driver ${CMAKE_CURRENT_LIST_DIR}/dkim_driver.c)
  target_link_libraries(dkim_driver PRIVATE postern_checks)
  add_test(NAME differential/dkim COMMAND ${debian_python3} ${CMAKE_CURRENT_LIST_DIR}/dkim.py $<TARGET_FILE:dkim_driver>)
  set_tests_properties(differential/dkim PROPERTIES LABELS differential TIMEOUT 300 SKIP_RETURN_CODE 77
                       FAIL_REGULAR_EXPRESSION "${SANITIZER_WORDS}")
  add_test(NAME differential/rates COMMAND ${debian_python3} ${CMAKE_CURRENT_LIST_DIR}/rates.py $<TARGET_FILE:postern>)
  set_tests_properties(differential/rates PROPERTIES LABELS differential TIMEOUT 300 FAIL_REGULAR_EXPRESSION "${SANITIZER_WORDS}")
endif()
