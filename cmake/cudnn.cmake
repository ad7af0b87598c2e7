# kernels_cudnn: what reaches cuDNN and cuBLASLt, which are opened when they are first used, so that
# their headers alone are needed here. Where those are missing the target is empty, and programs are
# linked without the backend.

set(KINEMA_CUDNN OFF)
file(GLOB pip_folders /usr/lib/python3*/*-packages/nvidia /usr/local/lib/python3*/*-packages/nvidia)
set(hints ${toolkit}/include $ENV{CUDA_HOME}/include /usr/local/cuda/include)
foreach(folder ${pip_folders})
  file(GLOB inside ${folder}/*/include)
  list(APPEND hints ${inside})
endforeach()
find_path(CUDNN_INCLUDE cudnn_graph.h HINTS ${hints})
find_path(CUBLASLT_INCLUDE cublasLt.h HINTS ${hints})
find_path(CUDART_INCLUDE cuda_runtime_api.h HINTS ${hints})

file(GLOB CUDNN_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cudnn/*.cpp
     ${PROJECT_SOURCE_DIR}/kernels/*/*_cudnn*.cpp)
list(REMOVE_ITEM KERNELS ${CUDNN_SOURCES})
if(CUDNN_INCLUDE AND CUBLASLT_INCLUDE AND CUDART_INCLUDE)
  set(KINEMA_CUDNN ON)
  add_library(kernels_cudnn OBJECT ${CUDNN_SOURCES})
  target_include_directories(kernels_cudnn SYSTEM PUBLIC ${CUDNN_INCLUDE}
                             ${CUBLASLT_INCLUDE} ${CUDART_INCLUDE})
else()
  message(STATUS "cuDNN 9's or cuBLASLt's headers are missing: backend cudnn is left out")
  add_library(kernels_cudnn INTERFACE)
endif()
