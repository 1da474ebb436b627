# How every target of this project is made: warnings, sanitizers, the shared precompiled header.
# Headers of templates cost more than what includes them, so a few sources are compiled as one.

set(FATWOOD_UNITY_BATCH 6)

function(fatwood_compile_options target)
  # g++ 12 sees impossible overlaps in std::string (its bugs 105329 and 105651). It collects its own
  # garbage so often that one eighth of the build is that; more rarely costs it up to 0.6 GB more.
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic
                                           $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
                                           $<$<CXX_COMPILER_ID:GNU>:--param=ggc-min-expand=400>
                                           $<$<BOOL:${FATWOOD_WERROR}>:-Werror>)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${FATWOOD_UNITY_BATCH})
  if(FATWOOD_SANITIZE)
    # With its checks g++ 12 takes std::optional's members in LibTorch's headers for unset ones.
    target_compile_options(${target} PRIVATE -fsanitize=${FATWOOD_SANITIZE} -fno-sanitize-recover=all
                                             -fno-omit-frame-pointer
                                             $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    target_link_options(${target} PUBLIC -fsanitize=${FATWOOD_SANITIZE})
  endif()
endfunction()

# fatwood_library(NAME SOURCES ... LINK ...): the static library fatwood_NAME, alias fatwood::NAME.
function(fatwood_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK;PRIVATE_LINK" ${ARGN})
  add_library(fatwood_${name} STATIC ${arg_SOURCES})
  add_library(fatwood::${name} ALIAS fatwood_${name})
  set_target_properties(fatwood_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(fatwood_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>
                                                    $<INSTALL_INTERFACE:include>)
  target_link_libraries(fatwood_${name} PUBLIC ${arg_LINK} PRIVATE ${arg_PRIVATE_LINK})
  target_compile_features(fatwood_${name} PUBLIC cxx_std_20)
  fatwood_compile_options(fatwood_${name})
  set_property(GLOBAL APPEND PROPERTY FATWOOD_LIBRARIES fatwood_${name})
endfunction()

# For what runs once or waits for the library: a fifth of the compiler's time less.
function(fatwood_compile_lightly target)
  target_compile_options(${target} PRIVATE -O1)
endfunction()

# LibTorch's libraries are built with NDEBUG. Without it its headers give at::RecordFunction another
# member, and what is handed to a callback is read at the wrong places.
function(fatwood_lay_out_as_libtorch target)
  if(FATWOOD_SANITIZE OR NOT CMAKE_BUILD_TYPE MATCHES "^Rel|^MinSizeRel")
    target_compile_definitions(${target} PRIVATE NDEBUG)
  endif()
endfunction()

# LibTorch's headers take 20 to 30 s to parse: those that fatwood uses are compiled once, here, and
# reused by every target that includes them. Some 5 s a translation unit remain for their templates.
function(fatwood_use_torch_header target)
  if(NOT TARGET fatwood_torch_header)
    set(source "${PROJECT_BINARY_DIR}/torch_header.cpp")
    file(CONFIGURE OUTPUT "${source}" CONTENT "// Exists to carry the precompiled headers of LibTorch.\n")
    add_library(fatwood_torch_header OBJECT "${source}")
    target_link_libraries(fatwood_torch_header PRIVATE LibTorch::LibTorch)
    target_include_directories(fatwood_torch_header PRIVATE "${PROJECT_SOURCE_DIR}/src")
    target_compile_features(fatwood_torch_header PUBLIC cxx_std_20)
    fatwood_lay_out_as_libtorch(fatwood_torch_header)
    fatwood_compile_options(fatwood_torch_header)
    target_precompile_headers(fatwood_torch_header PRIVATE <fatwood/model/libtorch.h>)
  endif()
  target_link_libraries(${target} PRIVATE LibTorch::LibTorch)
  fatwood_lay_out_as_libtorch(${target})
  target_precompile_headers(${target} REUSE_FROM fatwood_torch_header)
endfunction()
