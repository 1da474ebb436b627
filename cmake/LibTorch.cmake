# Finds LibTorch and defines LibTorch::LibTorch from the libraries' paths.
#
# torch's own CMake package is not used: in PyPI's CUDA builds it refuses to configure on a machine
# without a CUDA toolkit, although nothing of the toolkit is needed to build or run fatwood on a CPU.
# Searched in order: LIBTORCH_ROOT, CMAKE_PREFIX_PATH and Torch_DIR, the active Python environment
# (VIRTUAL_ENV, CONDA_PREFIX), the project's own .venv.

set(FATWOOD_LIBTORCH_MINIMUM 2.11)
set(LIBTORCH_ROOT "" CACHE PATH "Folder that holds LibTorch's include/ and lib/")

set(_candidates ${LIBTORCH_ROOT} $ENV{LIBTORCH_ROOT})
if(Torch_DIR)
  list(APPEND _candidates "${Torch_DIR}/../../..")
endif()
foreach(_prefix IN LISTS CMAKE_PREFIX_PATH)
  list(APPEND _candidates "${_prefix}" "${_prefix}/../.." "${_prefix}/libtorch")
endforeach()
foreach(_environment IN ITEMS "$ENV{VIRTUAL_ENV}" "$ENV{CONDA_PREFIX}" "${PROJECT_SOURCE_DIR}/.venv")
  if(_environment)
    file(GLOB _found "${_environment}/lib/python3*/site-packages/torch")
    list(APPEND _candidates ${_found})
  endif()
endforeach()

set(_libtorch "")
set(_passed_over "")
foreach(_candidate IN LISTS _candidates)
  if(NOT EXISTS "${_candidate}/include/torch/csrc/api/include/torch/torch.h"
     OR NOT EXISTS "${_candidate}/lib/libtorch_cpu.so")
    continue()
  endif()
  get_filename_component(_candidate "${_candidate}" REALPATH)
  set(_version "")
  foreach(_header IN ITEMS torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
    if(NOT _version AND EXISTS "${_candidate}/include/${_header}")
      file(STRINGS "${_candidate}/include/${_header}" _lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
      string(REGEX REPLACE "[^0-9;]" "" _version "${_lines}")
      string(REPLACE ";" "." _version "${_version}")
    endif()
  endforeach()
  if(_version VERSION_LESS FATWOOD_LIBTORCH_MINIMUM)
    list(APPEND _passed_over "${_candidate} (version '${_version}')")
    continue()
  endif()
  set(_libtorch "${_candidate}")
  set(LibTorch_VERSION "${_version}")
  break()
endforeach()

if(NOT _libtorch)
  message(FATAL_ERROR
    "[LibTorch] none found: wanted ${FATWOOD_LIBTORCH_MINIMUM} or newer with headers and libtorch_cpu.so.\n"
    "Passed over: ${_passed_over}\n"
    "Run ./fatwood setup, or set LIBTORCH_ROOT (or CMAKE_PREFIX_PATH) to an unpacked LibTorch.")
endif()
message(STATUS "LibTorch ${LibTorch_VERSION}: ${_libtorch}")

function(_libtorch_library target file)
  add_library(${target} SHARED IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${_libtorch}/lib/${file}" IMPORTED_NO_SONAME TRUE)
endfunction()

add_library(LibTorch::LibTorch INTERFACE IMPORTED GLOBAL)
_libtorch_library(LibTorch::c10 libc10.so)
_libtorch_library(LibTorch::cpu libtorch_cpu.so)
target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
  "${_libtorch}/include" "${_libtorch}/include/torch/csrc/api/include")
find_package(Threads REQUIRED)
# Libraries that LibTorch's own libraries need are found through their run paths when the program
# starts; the linker is not asked to resolve them.
target_link_libraries(LibTorch::LibTorch INTERFACE LibTorch::cpu LibTorch::c10 Threads::Threads)
target_link_options(LibTorch::LibTorch INTERFACE "LINKER:--allow-shlib-undefined" "LINKER:-rpath,${_libtorch}/lib")
if(EXISTS "${_libtorch}/lib/libtorch_cuda.so")
  set(LibTorch_HAS_CUDA ON)
  # Loading libtorch_cuda.so registers the CUDA kernels; no symbol of it is used by name.
  target_link_options(LibTorch::LibTorch INTERFACE
    "LINKER:--no-as-needed,${_libtorch}/lib/libtorch_cuda.so,${_libtorch}/lib/libc10_cuda.so,--as-needed")
endif()
set(LibTorch_ROOT_FOUND "${_libtorch}")
