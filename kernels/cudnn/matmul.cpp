#include "kernels/cudnn/matmul.h"
#include <algorithm>
#include <array>
#include <map>
#include "kernels/cudnn/library.h"
#include "kernels/cudnn/workspace.h"

namespace kinema::kernels::cudnn {

namespace {

constexpr uint64_t workspace_bytes = uint64_t(32) << 20;

/// Owns one of cuBLASLt's descriptors.
template <class T, auto create, auto destroy>
class Owner {
 public:
  template <class... A>
  explicit Owner(A... arguments) {
    check_blas((blas_library().*create)(&value_, arguments...), "cuBLASLt");
  }
  ~Owner() { (blas_library().*destroy)(value_); }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
  T get() const { return value_; }

 private:
  T value_ = nullptr;
};
using Operation = Owner<cublasLtMatmulDesc_t, &CublasLt::cublasLtMatmulDescCreate,
                        &CublasLt::cublasLtMatmulDescDestroy>;
using Matrix = Owner<cublasLtMatrixLayout_t, &CublasLt::cublasLtMatrixLayoutCreate,
                     &CublasLt::cublasLtMatrixLayoutDestroy>;
using Preference = Owner<cublasLtMatmulPreference_t, &CublasLt::cublasLtMatmulPreferenceCreate,
                         &CublasLt::cublasLtMatmulPreferenceDestroy>;

template <class T>
void set(const Operation& d, cublasLtMatmulDescAttributes_t name, const T& value) {
  check_blas(blas_library().cublasLtMatmulDescSetAttribute(d.get(), name, &value, sizeof(value)),
             "cuBLASLt");
}
template <class T>
void set(const Preference& d, cublasLtMatmulPreferenceAttributes_t name, const T& value) {
  check_blas(
      blas_library().cublasLtMatmulPreferenceSetAttribute(d.get(), name, &value, sizeof(value)),
      "cuBLASLt");
}

cudaDataType_t blas_type(Dtype d) {
  if (d == Dtype::bf16) return CUDA_R_16BF;
  return d == Dtype::f16 ? CUDA_R_16F : CUDA_R_32F;
}

/// The bytes that an address is a multiple of, 256 at most.
uint32_t alignment_of(const void* p) {
  uint32_t bytes = 256;
  while (reinterpret_cast<uintptr_t>(p) % bytes) bytes /= 2;
  return bytes;
}

/// A single row may have any stride.
int64_t pitch(const View& v) { return v.shape[0] > 1 ? v.stride(0) : v.shape[1]; }

/// What an algorithm depends on beside the GPU.
struct Key {
  std::array<int64_t, 9> sizes;       ///< rows, columns and pitches of a, b and c
  std::array<uint32_t, 4> alignment;  ///< of a, b, c and the bias
  Dtype type, result;
  std::array<bool, 6> flags;
  auto operator<=>(const Key&) const = default;
};
Key key_of(const Product& p) {
  return {.sizes = {p.a.shape[0], p.a.shape[1], pitch(p.a), p.b.shape[0], p.b.shape[1], pitch(p.b),
                    p.c.shape[0], p.c.shape[1], pitch(p.c)},
          .alignment = {alignment_of(p.a.data), alignment_of(p.b.data), alignment_of(p.c.data),
                        alignment_of(p.bias.data)},
          .type = p.a.dtype,
          .result = p.c.dtype,
          .flags = {p.transpose_a, p.transpose_b, p.accumulate, bool(p.bias), p.relu, p.tf32}};
}

/// The product as cuBLASLt takes it, column by column: c^T = op(b)^T op(a)^T, our rows being its
/// columns.
struct Call {
  explicit Call(const Product& p)
      : operation(
            p.tf32 && p.a.dtype == Dtype::f32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
            CUDA_R_32F),
        first(blas_type(p.b.dtype), uint64_t(p.b.shape[1]), uint64_t(p.b.shape[0]), pitch(p.b)),
        second(blas_type(p.a.dtype), uint64_t(p.a.shape[1]), uint64_t(p.a.shape[0]), pitch(p.a)),
        result(blas_type(p.c.dtype), uint64_t(p.c.shape[1]), uint64_t(p.c.shape[0]), pitch(p.c)) {
    set(operation, CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(operation, CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (!p.bias && !p.relu) return;
    set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE,
        p.bias   ? p.relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS
        : p.relu ? CUBLASLT_EPILOGUE_RELU
                 : CUBLASLT_EPILOGUE_DEFAULT);
    if (p.bias) set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias.data);
  }
  Operation operation;
  Matrix first, second, result;
};

cublasLtMatmulHeuristicResult_t best_algorithm(const char* what, const Product& p, const Call& c) {
  const Preference wanted;
  set(wanted, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
  set(wanted, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      uint32_t(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set(wanted, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(p.b.data));
  set(wanted, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(p.a.data));
  set(wanted, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(p.c.data));
  set(wanted, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(p.c.data));
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  const cublasStatus_t status = blas_library().cublasLtMatmulAlgoGetHeuristic(
      blas_handle(), c.operation.get(), c.first.get(), c.second.get(), c.result.get(),
      c.result.get(), wanted.get(), 1, &best, &found);
  if (status != CUBLAS_STATUS_NOT_SUPPORTED) check_blas(status, what);
  if (status != CUBLAS_STATUS_SUCCESS || !found || best.state != CUBLAS_STATUS_SUCCESS) {
    std::ostringstream text;
    text << what << ": cuBLASLt has no algorithm for " << p.a.shape << " by " << p.b.shape << " in "
         << p.a.dtype << " that is deterministic and needs at most " << (workspace_bytes >> 20)
         << " MB; use --backend linear=cuda";
    throw Unsupported(text.str());
  }
  return best;
}

}  // namespace

void multiply(const char* what, Stream stream, const Product& p) {
  // Some hundred bytes a problem; a network has as many as layers and passes.
  static thread_local std::map<Key, cublasLtMatmulHeuristicResult_t> known;
  const Call call(p);
  const Key key = key_of(p);
  auto at = known.find(key);
  if (at == known.end()) at = known.emplace(key, best_algorithm(what, p, call)).first;
  const auto bytes = int64_t(at->second.workspaceSize);
  const Workspace workspace(stream, bytes);
  const float one = 1, old = p.accumulate ? 1 : 0;
  check_blas(blas_library().cublasLtMatmul(blas_handle(), call.operation.get(), &one, p.b.data,
                                           call.first.get(), p.a.data, call.second.get(), &old,
                                           p.c.data, call.result.get(), p.c.data, call.result.get(),
                                           &at->second.algo, workspace.data(), size_t(bytes),
                                           static_cast<cudaStream_t>(stream.handle)),
             what);
}

}  // namespace kinema::kernels::cudnn
