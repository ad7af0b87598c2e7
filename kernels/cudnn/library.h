#pragma once
#include <cublasLt.h>
#include <cudnn.h>
#include "kernels/base/backend.h"
#include "kernels/base/dtype.h"
#include "kernels/cudnn/shared_library.h"

// cuDNN 9 and cuBLASLt, opened at first use, and what every operation needs of them. The functions
// have the types of the headers; an operation that needs another one adds its name to a list here.

namespace kinema::kernels::cudnn {

#define KERNELS_CUDNN_FUNCTIONS(F) \
  F(cudnnGetVersion)               \
  F(cudnnGetErrorString)           \
  F(cudnnGetLastErrorString)       \
  F(cudnnCreate)                   \
  F(cudnnDestroy)                  \
  F(cudnnSetStream)                \
  F(cudnnBackendCreateDescriptor)  \
  F(cudnnBackendDestroyDescriptor) \
  F(cudnnBackendFinalize)          \
  F(cudnnBackendSetAttribute)      \
  F(cudnnBackendGetAttribute)      \
  F(cudnnBackendExecute)           \
  F(cudnnCreateTensorDescriptor)   \
  F(cudnnDestroyTensorDescriptor)  \
  F(cudnnSetTensorNdDescriptor)    \
  F(cudnnCreateLRNDescriptor)      \
  F(cudnnDestroyLRNDescriptor)     \
  F(cudnnSetLRNDescriptor)         \
  F(cudnnLRNCrossChannelForward)   \
  F(cudnnLRNCrossChannelBackward)  \
  F(cudnnSoftmaxForward)

#define KERNELS_CUBLASLT_FUNCTIONS(F)     \
  F(cublasLtGetVersion)                   \
  F(cublasLtGetStatusString)              \
  F(cublasLtCreate)                       \
  F(cublasLtDestroy)                      \
  F(cublasLtMatmul)                       \
  F(cublasLtMatmulDescCreate)             \
  F(cublasLtMatmulDescDestroy)            \
  F(cublasLtMatmulDescSetAttribute)       \
  F(cublasLtMatrixLayoutCreate)           \
  F(cublasLtMatrixLayoutDestroy)          \
  F(cublasLtMatrixLayoutSetAttribute)     \
  F(cublasLtMatmulPreferenceCreate)       \
  F(cublasLtMatmulPreferenceDestroy)      \
  F(cublasLtMatmulPreferenceSetAttribute) \
  F(cublasLtMatmulAlgoGetHeuristic)

#define KERNELS_MEMBER(name) decltype(&::name) name = nullptr;
struct Cudnn {
  KERNELS_CUDNN_FUNCTIONS(KERNELS_MEMBER)
  std::string path;
};
struct CublasLt {
  KERNELS_CUBLASLT_FUNCTIONS(KERNELS_MEMBER)
  std::string path;
};
#undef KERNELS_MEMBER

/// Errors: the library is missing, older than is needed here (cuDNN 9.0), or cannot be opened.
const Cudnn& library();
const CublasLt& blas_library();
/// Puts other functions in the place of cuDNN's, for the whole process: tests do, to see what a
/// backend asks for where nothing can run it.
void replace_library(const Cudnn&);

/// As in 9.19.0 of 91900, which is how both libraries count.
std::string text_of_version(int64_t version);

/// Throws Error with the library's own words unless it is well: "`what`: cuDNN says ...";
/// Unsupported where cuDNN says that it has not the case.
void check_cudnn(cudnnStatus_t, const char* what);
void check_blas(cublasStatus_t, const char* what);

/// This thread's handles, the first for calls in the order of `stream`. Errors: no GPU.
cudnnHandle_t handle(Stream stream);
cublasLtHandle_t blas_handle();

/// Of what is f32, bf16 or f16; refuses others, naming `op`.
cudnnDataType_t cudnn_type(const char* op, Dtype);

/// Most that a pass through the libraries may take for itself, in bytes.
inline constexpr int64_t workspace_limit = int64_t(64) << 20;

}  // namespace kinema::kernels::cudnn
