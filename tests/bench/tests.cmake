# Nothing here is a test; build by name: cmake --build BUILD --target bench_store
add_executable(bench_store EXCLUDE_FROM_ALL ${CMAKE_CURRENT_SOURCE_DIR}/bench/store.c)
target_link_libraries(bench_store PRIVATE postern_store)
add_executable(bench_spf EXCLUDE_FROM_ALL ${CMAKE_CURRENT_SOURCE_DIR}/bench/spf.c)
target_link_libraries(bench_spf PRIVATE postern_checks)
