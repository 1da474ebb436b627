# Configures, builds and runs consumer/ in an empty folder: cmake -D way=installed|from_source ... -P
function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

set(work "${build}/package/${way}")
file(REMOVE_RECURSE "${work}")
if(way STREQUAL "installed")
  run("${CMAKE_COMMAND}" --install "${build}" --prefix "${work}/prefix")
  # The installed program starts without the build folder's help.
  run("${work}/prefix/bin/fatwood" --version)
  set(options "-DCMAKE_PREFIX_PATH=${work}/prefix")
else()
  set(options "-DFATWOOD_SOURCE=${source}" "-DLIBTORCH_ROOT=${libtorch}")
endif()
run("${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}/consumer" -B "${work}/build" -G Ninja -DCMAKE_BUILD_TYPE=Release ${options})
run("${CMAKE_COMMAND}" --build "${work}/build")
run("${work}/build/consumer")
