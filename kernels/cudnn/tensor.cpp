#include "kernels/cudnn/tensor.h"

namespace kinema::kernels::cudnn {

Layout layout_of(const View& v) {
  // An axis of size 1 may have any stride; cuDNN tells layouts apart by it.
  Strides strides = v.strides;
  for (int a = 3; a >= 0; --a)
    if (v.shape[a] == 1) strides[size_t(a)] = strides[size_t(a + 1)] * v.shape[a + 1];
  Layout l;
  constexpr std::array<int, 5> axes{0, 4, 1, 2, 3};
  for (size_t i = 0; i < 5; ++i) {
    l.size[i] = v.shape[axes[i]];
    l.stride[i] = strides[size_t(axes[i])];
  }
  const auto address = reinterpret_cast<uintptr_t>(v.data);
  while (address % uintptr_t(l.alignment) != 0) l.alignment /= 2;
  return l;
}

Layout layout_by_channel(int64_t channels) {
  return {.size = {1, channels, 1, 1, 1},
          .stride = {channels, 1, channels, channels, channels},
          .alignment = 4};
}

Descriptor tensor(int64_t id, const Layout& l, cudnnDataType_t type, bool is_virtual) {
  Descriptor d(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type);
  d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, is_virtual ? Layout{}.alignment : l.alignment);
  d.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const int64_t>(l.size));
  d.set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const int64_t>(l.stride));
  if (is_virtual) d.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true);
  d.finalize();
  return d;
}

}  // namespace kinema::kernels::cudnn
