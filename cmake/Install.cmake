# What `cmake --install` leaves: headers, libraries, the program, and a package for find_package(fatwood).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(fatwood_all INTERFACE)
add_library(fatwood::fatwood ALIAS fatwood_all)
set_target_properties(fatwood_all PROPERTIES EXPORT_NAME fatwood)
get_property(libraries GLOBAL PROPERTY FATWOOD_LIBRARIES)
target_link_libraries(fatwood_all INTERFACE ${libraries})

if(FATWOOD_INSTALL)
  set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/fatwood")
  install(TARGETS ${libraries} fatwood_all EXPORT fatwood)
  if(FATWOOD_BUILD_PROGRAM)
    install(TARGETS fatwood_program)
  endif()
  install(EXPORT fatwood NAMESPACE fatwood:: FILE fatwoodTargets.cmake DESTINATION "${package_folder}")
  install(DIRECTORY src/fatwood "${PROJECT_BINARY_DIR}/generated/fatwood"
    DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
  configure_package_config_file(cmake/fatwoodConfig.cmake.in "${PROJECT_BINARY_DIR}/fatwoodConfig.cmake"
    INSTALL_DESTINATION "${package_folder}" NO_SET_AND_CHECK_MACRO)
  write_basic_package_version_file("${PROJECT_BINARY_DIR}/fatwoodConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
  install(FILES "${PROJECT_BINARY_DIR}/fatwoodConfig.cmake" "${PROJECT_BINARY_DIR}/fatwoodConfigVersion.cmake"
    cmake/LibTorch.cmake cmake/LibTorchSearch.cmake DESTINATION "${package_folder}")
endif()
