# Device code, compiled three times: kernels/*/*.cu by nvcc for GPUs, and by the host's compiler for
# the emulation (kernels/device/emulation) and once more for its race detector.

find_package(Python3 REQUIRED COMPONENTS Interpreter)
find_program(NVCC nvcc PATHS ENV CUDA_HOME /usr/local/cuda PATH_SUFFIXES bin)
set(KINEMA_CUDA OFF)
if(NVCC AND NOT KINEMA_SANITIZE)
  set(KINEMA_CUDA ON)
  get_filename_component(toolkit ${NVCC} REALPATH)
  get_filename_component(toolkit ${toolkit} DIRECTORY)
  get_filename_component(toolkit ${toolkit} DIRECTORY)
  find_library(CUDART cudart_static REQUIRED HINTS ${toolkit}/lib64 ${toolkit}/lib
               PATH_SUFFIXES stubs NO_DEFAULT_PATH)
endif()

file(GLOB EMULATION CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/device/emulation/*.cpp)

# kinema_emulated(TARGET SOURCES...): one-line sources that include each .cu, with the flags that
# device code needs. GCC knows no #pragma unroll; packs of elements are read through casts; calls of
# the emulation return to the kernel, so that they know its line.
set(EMULATED_FLAGS -g1 -fno-strict-aliasing -Wno-unknown-pragmas -fno-optimize-sibling-calls
    -Wno-psabi)
function(kinema_emulated target)
  set(copies)
  foreach(source ${ARGN})
    file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR} ${source})
    set(copy ${PROJECT_BINARY_DIR}/generated/emulated/${name}.cpp)
    if(NOT EXISTS ${copy})
      file(WRITE ${copy} "#include \"${name}\"\n")
    endif()
    list(APPEND copies ${copy})
  endforeach()
  add_library(${target} OBJECT ${copies})
  target_compile_options(${target} PRIVATE ${EMULATED_FLAGS})
endfunction()

# kinema_device_code(NAME SOURCES...): NAME_emulated, and beside release code NAME_emulated_race and,
# with nvcc, NAME_cuda.
function(kinema_device_code name)
  kinema_emulated(${name}_emulated ${ARGN})
  if(KINEMA_SANITIZE)
    return()
  endif()
  kinema_emulated(${name}_emulated_race ${ARGN})
  # libtsan is not linked: the race detector defines the functions that this asks for.
  target_compile_options(${name}_emulated_race PRIVATE -O1 -fsanitize=thread
                         --param tsan-instrument-func-entry-exit=0)
  if(NOT KINEMA_CUDA)
    return()
  endif()
  set(objects)
  foreach(source ${ARGN})
    file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR} ${source})
    set(object ${PROJECT_BINARY_DIR}/cuda/${path}.o)
    get_filename_component(folder ${object} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    add_custom_command(
      OUTPUT ${object} ${object}.ptxas
      COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/compile_cuda.py ${object}
              ${object}.d ${CCACHE} ${NVCC} -std=c++20 -O3 --expt-relaxed-constexpr -lineinfo
              -gencode=arch=compute_90a,code=sm_90a
              "-gencode=arch=compute_80,code=[sm_80,compute_80]"
              -Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wno-unknown-pragmas -I${PROJECT_SOURCE_DIR} -c ${source}
      DEPENDS ${source} ${PROJECT_SOURCE_DIR}/cmake/compile_cuda.py
      DEPFILE ${object}.d
      COMMENT "Building CUDA object ${path}.o"
      VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  add_library(${name}_cuda OBJECT IMPORTED GLOBAL)
  set_target_properties(${name}_cuda PROPERTIES IMPORTED_OBJECTS "${objects}")
  add_custom_target(${name}_cuda_objects DEPENDS ${objects})
endfunction()

# The emulation itself is not instrumented: it would cost four times the time (measured).
function(kinema_emulation target)
  add_library(${target} OBJECT ${EMULATION})
  target_compile_options(${target} PRIVATE -O3 -g1 -fno-sanitize=all)
  target_compile_definitions(${target} PRIVATE ${ARGN})
endfunction()
if(KINEMA_SANITIZE MATCHES address)
  kinema_emulation(emulation KINEMA_ASAN)
else()
  kinema_emulation(emulation)
  kinema_emulation(emulation_race KINEMA_WATCH_RACES)
endif()

file(GLOB DEVICE_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/*/*.cu)
kinema_device_code(kernels ${DEVICE_SOURCES})
