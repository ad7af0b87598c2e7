#pragma once
#include <array>
#include "kernels/base/view.h"
#include "kernels/cudnn/descriptor.h"

namespace kinema::kernels::cudnn {

/// Sizes and strides of a tensor of five axes in cuDNN's order [N,C,T,H,W] (filters
/// [K,C/G,kt,kh,kw]), and on how many bytes its memory lies, 16 at most.
struct Layout {
  std::array<int64_t, 5> size{}, stride{};
  int64_t alignment = 16;
  auto operator<=>(const Layout&) const = default;
};
/// Of a view [N,T,H,W,C].
Layout layout_of(const View&);
/// Of `channels` f32 values that lie side by side, [1,C,1,1,1].
Layout layout_by_channel(int64_t channels);

/// A tensor of a graph, final. A virtual one is on its way from one operation to the next, and lies
/// nowhere.
Descriptor tensor(int64_t id, const Layout&, cudnnDataType_t, bool is_virtual = false);

}  // namespace kinema::kernels::cudnn
