#include "kernels/cudnn/legacy.h"
#include <array>
#include <climits>

namespace kinema::kernels::cudnn {

RowsOf::RowsOf(const char* op, const View& v) {
  const int rank = v.shape.rank;
  const int64_t pitch = rank > 1 ? v.stride(-2) : v.shape[-1];
  // [N,C,H,W]: the first axis, channels, what is between, and the last but one.
  std::array<int64_t, 4> size{1, v.shape[-1], 1, rank > 1 ? v.shape[-2] : 1};
  for (int a = 0; a < rank - 2; ++a) size[a == 0 ? 0 : 2] *= v.shape[a];
  const std::array<int64_t, 4> stride{size[2] * size[3] * pitch, 1, size[3] * pitch, pitch};
  std::array<int, 4> sizes{}, strides{};
  bool fits = uniform_rows(v) && pitch >= v.shape[-1];
  for (size_t i = 0; i < 4; ++i) {
    fits = fits && size[i] <= INT_MAX && stride[i] <= INT_MAX;
    sizes[i] = int(size[i]);
    strides[i] = int(stride[i]);
  }
  if (!fits) {
    std::ostringstream text;
    text << op << ": cudnn takes rows at one pitch, of fewer than 2^31 elements, got " << v.shape
         << "; use --backend " << op << "=cuda";
    throw Unsupported(text.str());
  }
  check_cudnn(library().cudnnSetTensorNdDescriptor(get(), cudnn_type(op, v.dtype), 4, sizes.data(),
                                                   strides.data()),
              op);
}

void check_offered(cudnnStatus_t status, const char* what, const char* op) {
  // Codes come in thousands by kind (cudnn_graph.h). The contract has been checked before: a bad
  // parameter is one that cuDNN does not take.
  const int kind = int(status) / 1000 * 1000;
  if (kind == CUDNN_STATUS_NOT_SUPPORTED || kind == CUDNN_STATUS_BAD_PARAM) {
    std::ostringstream text;
    text << what << ": cudnn does not take these tensors (" << library().cudnnGetErrorString(status)
         << "); use --backend " << op << "=cuda";
    throw Unsupported(text.str());
  }
  check_cudnn(status, what);
}

}  // namespace kinema::kernels::cudnn
