# Tests of device code: NAME_device_test.cpp, without engine and oneDNN, becomes
#   NAME_device_test        on the emulation, under the sanitizers in their build
#   NAME_device_test_race   the same under the race detector
#   and part of gpu_tests   all of them on a GPU: built with nvcc, run by hand where there is a GPU
# One that begins with "// labels: emulated" is about the emulation itself, and no part of gpu_tests.
# One with cudnn in its name runs without a GPU too, where cuDNN's headers are, but not on the
# emulation: on loops that do what cuDNN was told (support/device_runs_cudnn.cpp).
# NAME_device_test.cu beside it is device code of its own, compiled like a kernel.
add_library(kinema_device_test_support STATIC support/device_check.cpp
            support/device_conv3d.cpp support/device_conv3d_tiles.cpp
            support/device_conv3d_sample.cpp support/device_golden.cpp support/device_goldens.cpp)
target_link_libraries(kinema_device_test_support PUBLIC kinema_kernels GTest::gtest_main
                      nlohmann_json::nlohmann_json)

file(GLOB DEVICE_TEST_CODE CONFIGURE_DEPENDS *.cu)
if(DEVICE_TEST_CODE)
  kinema_device_code(device_tests ${DEVICE_TEST_CODE})
endif()

set(LAUNCH_LOGS ${PROJECT_BINARY_DIR}/launches)
file(MAKE_DIRECTORY ${LAUNCH_LOGS})

# device_test(NAME PROGRAM FLAVOUR LABELS...): the objects of NAME with the kernels of a flavour.
function(device_test name program flavour)
  add_executable(${program} $<TARGET_OBJECTS:${name}_objects> support/device_runs_emulated.cpp)
  string(REPLACE "emulated" "emulation" emulation ${flavour})
  target_link_libraries(${program} PRIVATE kinema_device_test_support kernels_${flavour} ${emulation})
  if(TARGET device_tests_${flavour})
    target_link_libraries(${program} PRIVATE device_tests_${flavour})
  endif()
  add_test(NAME ${program} COMMAND ${program} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${program} PROPERTIES LABELS "${ARGN}" TIMEOUT 900 ENVIRONMENT
    "KINEMA_LAUNCH_LOG=${LAUNCH_LOGS}/${program};OMP_WAIT_POLICY=passive;ASAN_OPTIONS=detect_leaks=0")
endfunction()

set(gpu_objects)
file(GLOB DEVICE_TESTS CONFIGURE_DEPENDS *_device_test.cpp)
foreach(source ${DEVICE_TESTS})
  get_filename_component(name ${source} NAME_WE)
  add_library(${name}_objects OBJECT ${source})
  target_link_libraries(${name}_objects PRIVATE GTest::gtest)
  target_compile_options(${name}_objects PRIVATE -Wno-unknown-pragmas)
  if(name MATCHES "cudnn")
    if(KINEMA_CUDNN)
      add_executable(${name} $<TARGET_OBJECTS:${name}_objects> support/device_runs_cudnn.cpp)
      target_link_libraries(${name} PRIVATE kinema_device_test_support kernels_cudnn)
      add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
      set_tests_properties(${name} PROPERTIES LABELS ci TIMEOUT 900 ENVIRONMENT
                           "OMP_WAIT_POLICY=passive;ASAN_OPTIONS=detect_leaks=0")
      list(APPEND gpu_objects $<TARGET_OBJECTS:${name}_objects>)
    endif()
    continue()
  endif()
  device_test(${name} ${name} emulated ci emulated)
  set_tests_properties(${name} PROPERTIES FIXTURES_SETUP launches)
  if(NOT KINEMA_SANITIZE)
    device_test(${name} ${name}_race emulated_race race)
  endif()
  file(STRINGS ${source} head LIMIT_COUNT 1)
  if(NOT head STREQUAL "// labels: emulated")
    list(APPEND gpu_objects $<TARGET_OBJECTS:${name}_objects>)
  endif()
endforeach()

# OP_mutants.json plants faults in the device code of an operation (support/make_mutants.py), and
# OP_mutants.cpp says by which cases each is found: a program of the whole kernels with these.
file(GLOB MUTANTS CONFIGURE_DEPENDS *_mutants.json)
if(KINEMA_SANITIZE)
  set(MUTANTS)
endif()
foreach(list ${MUTANTS})
  get_filename_component(program ${list} NAME_WE)
  string(REPLACE "_mutants" "" op ${program})
  set(out ${PROJECT_BINARY_DIR}/mutants/${op})
  file(GLOB code CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/${op}/*.cu*)
  set(copies ${out}/mutants.cpp)
  foreach(source ${code})
    if(source MATCHES "/([^/]*\\.cu)$")
      list(APPEND copies ${out}/kernels/${op}/${CMAKE_MATCH_1}.cpp)
    endif()
  endforeach()
  add_custom_command(OUTPUT ${copies}
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/support/make_mutants.py ${list}
            ${PROJECT_SOURCE_DIR} ${out}
    DEPENDS ${list} ${code} support/make_mutants.py
    VERBATIM)
  add_executable(${program} ${program}.cpp ${copies} support/device_runs_emulated.cpp
    $<FILTER:$<TARGET_OBJECTS:kernels_emulated>,EXCLUDE,kernels/${op}/>)
  target_compile_options(${program} PRIVATE ${EMULATED_FLAGS} -O1)
  target_include_directories(${program} BEFORE PRIVATE ${out})
  target_link_libraries(${program} PRIVATE kinema_device_test_support emulation)
  add_test(NAME ${program} COMMAND ${program})
  set_tests_properties(${program} PROPERTIES LABELS "ci;emulated" TIMEOUT 900 ENVIRONMENT
                       "OMP_WAIT_POLICY=passive")
endforeach()

# FLAVOUR_goldens FILE writes what conformance's micro kernels give: gpu_goldens on a GPU, for
# tests/goldens/, and emulated_goldens.
add_executable(emulated_goldens support/device_goldens_main.cpp support/device_runs_emulated.cpp)
target_link_libraries(emulated_goldens PRIVATE kinema_device_test_support device_tests_emulated
                      kernels_emulated emulation)
if(KINEMA_CUDA)
  add_executable(gpu_goldens support/device_goldens_main.cpp support/device_runs_cuda.cpp)
  target_link_libraries(gpu_goldens PRIVATE kinema_device_test_support device_tests_cuda
                        kernels_cuda kernels_cudnn ${CUDART} dl rt)
  if(KINEMA_CUDNN)
    target_sources(gpu_goldens PRIVATE support/device_properties_cudnn.cpp)
  endif()
  target_link_options(gpu_goldens PRIVATE -static-libstdc++ -static-libgcc)
  add_dependencies(gpu_goldens kernels_cuda_objects device_tests_cuda_objects)

  add_executable(gpu_tests ${gpu_objects} support/device_runs_cuda.cpp)
  target_link_libraries(gpu_tests PRIVATE kinema_device_test_support kernels_cuda kernels_cudnn
                        ${CUDART} dl rt)
  if(TARGET device_tests_cuda)
    target_link_libraries(gpu_tests PRIVATE device_tests_cuda)
  endif()
  # It may be carried to a machine with other libraries.
  target_link_options(gpu_tests PRIVATE -static-libstdc++ -static-libgcc)
  add_dependencies(gpu_tests kernels_cuda_objects)
endif()
