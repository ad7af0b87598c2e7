#include "kernels/pool3d/pool3d_cudnn_layer.h"

namespace kinema::kernels::cudnn {

PoolLayer layer_of(PoolPass pass, const Pool3dOptions& o, const View& x, const View& y,
                   bool with_taps) {
  PoolLayer l{.pass = pass,
              .window = o.kernel,
              .step = o.step(),
              .front = o.pad_front,
              .back = o.pad_back,
              .x = layout_of(x),
              .y = layout_of(y),
              .dtype = x.dtype,
              .count_padding = o.count_padding,
              .taps = pool3d_taps(o),
              .with_taps = with_taps};
  // cuDNN knows no ceil mode: what its last windows reach beyond is padding.
  for (size_t i = 0; i < 3; ++i) {
    const int64_t reach = (y.shape[int(i) + 1] - 1) * l.step[i] + l.window[i] - l.front[i];
    const int64_t beyond = reach - x.shape[int(i) + 1] - l.back[i];
    if (beyond <= 0) continue;
    if (pass == PoolPass::average_forward || pass == PoolPass::average_grad)
      if (o.count_padding)
        throw Unsupported(
            "pool3d: cudnn counts all of a window that reaches beyond the padding (ceil_mode), not "
            "what of it is padding; use --backend pool3d=cuda");
    l.back[i] += beyond;
  }
  return l;
}

namespace {

bool is_max(PoolPass p) { return p == PoolPass::max_forward || p == PoolPass::max_grad; }
bool is_forward(PoolPass p) { return p == PoolPass::max_forward || p == PoolPass::average_forward; }

Descriptor windows(const PoolLayer& l) {
  const auto fractions = [](const std::array<int64_t, 3>& values) {
    std::array<cudnnFraction_t, 3> all{};
    for (size_t i = 0; i < 3; ++i) all[i] = {values[i], 1};
    return all;
  };
  const auto set = [&](Descriptor& d, cudnnBackendAttributeName_t name,
                       const std::array<int64_t, 3>& values) {
    const auto all = fractions(values);
    d.set(name, std::span<const cudnnFraction_t>(all));
  };
  Descriptor d(CUDNN_BACKEND_RESAMPLE_DESCRIPTOR);
  d.set(CUDNN_ATTR_RESAMPLE_MODE, is_max(l.pass)    ? CUDNN_RESAMPLE_MAXPOOL
                                  : l.count_padding ? CUDNN_RESAMPLE_AVGPOOL_INCLUDE_PADDING
                                                    : CUDNN_RESAMPLE_AVGPOOL_EXCLUDE_PADDING);
  d.set(CUDNN_ATTR_RESAMPLE_COMP_TYPE, CUDNN_DATA_FLOAT);
  d.set(CUDNN_ATTR_RESAMPLE_NAN_PROPAGATION, CUDNN_PROPAGATE_NAN);
  d.set(CUDNN_ATTR_RESAMPLE_PADDING_MODE, is_max(l.pass) ? CUDNN_NEG_INF_PAD : CUDNN_ZERO_PAD);
  d.set(CUDNN_ATTR_RESAMPLE_SPATIAL_DIMS, int64_t(3));
  set(d, CUDNN_ATTR_RESAMPLE_WINDOW_DIMS, l.window);
  set(d, CUDNN_ATTR_RESAMPLE_PRE_PADDINGS, l.front);
  set(d, CUDNN_ATTR_RESAMPLE_POST_PADDINGS, l.back);
  set(d, CUDNN_ATTR_RESAMPLE_STRIDES, l.step);
  d.finalize();
  return d;
}

}  // namespace

Descriptor graph_of(const PoolLayer& l, const Target& target) {
  const cudnnDataType_t type = cudnn_type("pool3d", l.dtype);
  const bool forward = is_forward(l.pass);
  Descriptor d(forward ? CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR
                       : CUDNN_BACKEND_OPERATION_RESAMPLE_BWD_DESCRIPTOR);
  d.set(
      forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC,
      tensor(id_pool_x, l.x, type));
  d.set(
      forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DYDESC,
      tensor(id_pool_y, l.y, type));
  if (l.with_taps)
    d.set(forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_IDXDESC
                  : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_IDXDESC,
          tensor(id_pool_taps, l.y, l.taps == Dtype::u8 ? CUDNN_DATA_UINT8 : CUDNN_DATA_INT32));
  d.set(forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DESC,
        windows(l));
  d.finalize();
  std::vector<Descriptor> one;
  one.push_back(std::move(d));
  return graph_of(one, target);
}

std::vector<Plan> plans_of(const PoolLayer& l, const Target& target, int64_t most) {
  return plans_of(graph_of(l, target), target, {.most = most});
}

}  // namespace kinema::kernels::cudnn
