#include "kernels/cudnn/library.h"
#include <array>
#include "kernels/cudnn/nvidia_libraries.h"

namespace kinema::kernels {

namespace cudnn {

namespace {

/// The major version whose header this is compiled with comes first.
const std::vector<std::string> blas_names =
    CUBLAS_VER_MAJOR >= 13 ? std::vector<std::string>{"libcublasLt.so.13", "libcublasLt.so.12"}
                           : std::vector<std::string>{"libcublasLt.so.12", "libcublasLt.so.13"};

CublasLt open_blas() {
  const SharedLibrary file(blas_names, library_folders(), "cuBLASLt");
  CublasLt all{.path = file.path()};
#define KERNELS_FIND(name) file.find(#name, all.name);
  KERNELS_CUBLASLT_FUNCTIONS(KERNELS_FIND)
  return all;
}

Cudnn open_cudnn() {
  // Some engines look for cuBLASLt: the one that is open then is taken, wherever it was found.
  try {
    blas_library();
  } catch (const Error&) {  // those engines then say themselves what they lack
  }
  const SharedLibrary file({"libcudnn.so.9"}, library_folders(), "cuDNN");
  Cudnn all{.path = file.path()};
  KERNELS_CUDNN_FUNCTIONS(KERNELS_FIND)
#undef KERNELS_FIND
  return all;
}

struct Handle {
  cudnnHandle_t value = nullptr;
  Handle() { check_cudnn(library().cudnnCreate(&value), "cuDNN"); }
  ~Handle() { library().cudnnDestroy(value); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};
struct BlasHandle {
  cublasLtHandle_t value = nullptr;
  BlasHandle() { check_blas(blas_library().cublasLtCreate(&value), "cuBLASLt"); }
  ~BlasHandle() { blas_library().cublasLtDestroy(value); }
  BlasHandle(const BlasHandle&) = delete;
  BlasHandle& operator=(const BlasHandle&) = delete;
};

}  // namespace

std::string text_of_version(int64_t version) {
  std::ostringstream text;
  text << version / 10000 << '.' << version / 100 % 100 << '.' << version % 100;
  return text.str();
}

static Cudnn& opened_library() {
  static Cudnn opened = open_cudnn();
  return opened;
}
const Cudnn& library() { return opened_library(); }
void replace_library(const Cudnn& other) { opened_library() = other; }

const CublasLt& blas_library() {
  static const CublasLt opened = open_blas();
  return opened;
}

void check_cudnn(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) [[likely]]
    return;
  std::array<char, 1024> reason{};
  library().cudnnGetLastErrorString(reason.data(), reason.size());
  std::ostringstream text;
  text << what << ": cuDNN says " << library().cudnnGetErrorString(status);
  if (reason.front()) text << ": " << reason.data();
  if (CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED) throw Unsupported(text.str());
  throw Error(text.str());
}

void check_blas(cublasStatus_t status, const char* what) {
  check(status == CUBLAS_STATUS_SUCCESS, what, ": cuBLASLt says ",
        blas_library().cublasLtGetStatusString(status));
}

cudnnHandle_t handle(Stream stream) {
  static thread_local const Handle mine;
  check_cudnn(library().cudnnSetStream(mine.value, static_cast<cudaStream_t>(stream.handle)),
              "cuDNN");
  return mine.value;
}

cublasLtHandle_t blas_handle() {
  static thread_local const BlasHandle mine;
  return mine.value;
}

cudnnDataType_t cudnn_type(const char* op, Dtype d) {
  switch (d) {
    case Dtype::f32:
      return CUDNN_DATA_FLOAT;
    case Dtype::bf16:
      return CUDNN_DATA_BFLOAT16;
    case Dtype::f16:
      return CUDNN_DATA_HALF;
    default:
      fail(op, ": cudnn takes f32, bf16 or f16, got ", d);
  }
}

}  // namespace cudnn

std::vector<NvidiaLibrary> nvidia_libraries() {
  NvidiaLibrary dnn{.name = "cuDNN"}, blas{.name = "cuBLASLt"};
  try {
    const auto version = int64_t(cudnn::library().cudnnGetVersion());
    dnn.path = cudnn::library().path;
    dnn.version = cudnn::text_of_version(version);
    dnn.warning = warning_of_cudnn(version);
  } catch (const Error& e) {
    dnn.missing = e.what();
  }
  try {
    const auto version = int64_t(cudnn::blas_library().cublasLtGetVersion());
    blas.path = cudnn::blas_library().path;
    blas.version = cudnn::text_of_version(version);
  } catch (const Error& e) {
    blas.missing = e.what();
  }
  return {dnn, blas};
}

std::string warning_of_cudnn(int64_t version) {
  // Source: github.com/pytorch/pytorch issues 163539 and 166480.
  if (version < 90800 || version >= 91500) return "";
  return "cuDNN 9.8 to 9.14 computes convolutions of bf16 and f16 over time wrongly in places; "
         "use 9.15 or newer, or --backend conv3d=cuda";
}

}  // namespace kinema::kernels
