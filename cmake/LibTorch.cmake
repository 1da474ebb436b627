# Defines LibTorch::LibTorch from the libraries' paths.
#
# torch's own CMake package is not used: in PyPI's CUDA builds it refuses to configure on a machine
# without a CUDA toolkit, although nothing of the toolkit is needed to build or run fatwood.

include("${CMAKE_CURRENT_LIST_DIR}/LibTorchSearch.cmake")
set(LIBTORCH_ROOT "" CACHE PATH "Folder that holds LibTorch's include/ and lib/")
fatwood_find_libtorch(LibTorch_FOLDER)
set(LibTorch_VERSION "${LibTorch_FOLDER_VERSION}")
message(STATUS "LibTorch ${LibTorch_VERSION}: ${LibTorch_FOLDER}")

find_package(Threads REQUIRED)

if(NOT TARGET LibTorch::LibTorch)
  foreach(library IN ITEMS c10 torch_cpu)
    add_library(LibTorch::${library} SHARED IMPORTED GLOBAL)
    set_target_properties(LibTorch::${library} PROPERTIES
      IMPORTED_LOCATION "${LibTorch_FOLDER}/lib/lib${library}.so" IMPORTED_NO_SONAME TRUE)
  endforeach()

  add_library(LibTorch::LibTorch INTERFACE IMPORTED GLOBAL)
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
    "${LibTorch_FOLDER}/include" "${LibTorch_FOLDER}/include/torch/csrc/api/include")
  # Libraries that LibTorch's own libraries need are found through their run paths when the program
  # starts; the linker is not asked to resolve them.
  target_link_libraries(LibTorch::LibTorch INTERFACE LibTorch::torch_cpu LibTorch::c10 Threads::Threads)
  target_link_options(LibTorch::LibTorch INTERFACE
    "LINKER:--allow-shlib-undefined" "LINKER:-rpath,${LibTorch_FOLDER}/lib")
  if(EXISTS "${LibTorch_FOLDER}/lib/libtorch_cuda.so")
    # Loading libtorch_cuda.so registers the CUDA kernels; no symbol of it is used by name.
    target_link_options(LibTorch::LibTorch INTERFACE
      "LINKER:--no-as-needed,${LibTorch_FOLDER}/lib/libtorch_cuda.so,${LibTorch_FOLDER}/lib/libc10_cuda.so,--as-needed")
  endif()
endif()
