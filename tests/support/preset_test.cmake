# cmake -D preset= -D targets= -D tests= -D build= -D libtorch= -D kernels= -P, from the source folder: configures
# the preset in `build`, builds the targets there and runs the tests whose names match.
function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
run("${CMAKE_COMMAND}" --preset "${preset}" -B "${build}" "-DLIBTORCH_ROOT=${libtorch}"
    "-DFATWOOD_KERNELS_ARCHIVE=${kernels}" -DFATWOOD_BUILD_BENCH=OFF)
run("${CMAKE_COMMAND}" --build "${build}" -j "${cores}" --target ${targets})
run("${CMAKE_CTEST_COMMAND}" --test-dir "${build}" --output-on-failure --no-tests=error -j "${cores}" -R "${tests}" -LE slow)
