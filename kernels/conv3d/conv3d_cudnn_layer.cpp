#include "kernels/conv3d/conv3d_cudnn_layer.h"

namespace kinema::kernels::cudnn {

namespace {

/// Zero lanes become channels.
View widened(View v) {
  v.shape[4] += v.tail;
  v.tail = 0;
  return v;
}

/// [K,kt,kh,kw,C/G] without gaps.
View dense_filters(Dtype dtype, const Shape& shape) {
  View v{.data = nullptr, .dtype = dtype, .shape = shape};
  int64_t stride = 1;
  for (int a = 4; a >= 0; --a) {
    v.strides[size_t(a)] = stride;
    stride *= shape[a];
  }
  return v;
}

}  // namespace

CudnnViews cudnn_views(const Conv3dOptions& o, const View& x, const View& w, const View& y) {
  const bool depthwise = o.groups == x.shape[4] && o.groups == y.shape[4] && x.tail == y.tail;
  const bool wide = o.groups == 1 || depthwise;
  CudnnViews all{.x = wide ? widened(x) : x, .w = {}, .y = wide ? widened(y) : y};
  Shape filters = w.shape;
  filters[0] = all.y.shape[4];
  if (o.groups == 1) filters[4] = all.x.shape[4];
  all.w = dense_filters(x.dtype, filters);
  const View own = widened(w);
  if (w.dtype == x.dtype && own.shape == filters && uniform(own, 0, 3) &&
      (own.shape.size() == own.shape[4] || own.stride(3) == own.shape[4]))
    all.w.data = w.data;
  return all;
}

ConvolutionLayer layer_of(Conv3dPass pass, const Conv3dOptions& o, const CudnnViews& v) {
  return {.pass = pass,
          .stride = o.stride,
          .dilation = o.dilation,
          .front = o.pad_front,
          .back = o.pad_back,
          .x = layout_of(v.x),
          .w = layout_of(v.w),
          .y = layout_of(v.y),
          .dtype = v.x.dtype,
          .exact = v.x.dtype == Dtype::f32 && !o.tf32};
}

namespace {

Descriptor geometry(const ConvolutionLayer& l) {
  Descriptor d(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  d.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t(3));
  d.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  d.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);
  d.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, std::span<const int64_t>(l.stride));
  d.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, std::span<const int64_t>(l.dilation));
  d.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, std::span<const int64_t>(l.front));
  d.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, std::span<const int64_t>(l.back));
  d.finalize();
  return d;
}

/// A pass's operation and what its attributes are called.
struct Operation {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t geometry, x, w, y, alpha, beta;
};
constexpr Operation operations[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};

Descriptor convolution(const ConvolutionLayer& l, const Descriptor& y) {
  const cudnnDataType_t type = cudnn_type("conv3d", l.dtype);
  const Operation& o = operations[int(l.pass)];
  Descriptor d(o.type);
  d.set(o.geometry, geometry(l));
  d.set(o.x, tensor(id_x, l.x, type));
  d.set(o.w, tensor(id_w, l.w, type));
  d.set(o.y, y);
  d.set(o.alpha, 1.0f);
  d.set(o.beta, l.accumulate ? 1.0f : 0.0f);
  d.finalize();
  return d;
}

/// to = mode(from, other), in f32.
Descriptor pointwise(cudnnPointwiseMode_t mode, const Descriptor& from, const Descriptor* other,
                     const Descriptor& to) {
  Descriptor what(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  what.set(CUDNN_ATTR_POINTWISE_MODE, mode);
  what.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
  what.finalize();
  Descriptor d(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what);
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, from);
  if (other) d.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *other);
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to);
  d.finalize();
  return d;
}

}  // namespace

Descriptor graph_of(const ConvolutionLayer& l, const Target& target) {
  // What is on its way from one operation to the next lies nowhere, and is f32.
  int64_t next = id_virtual;
  const auto result = [&](bool last) {
    return last ? tensor(id_y, l.y, cudnn_type("conv3d", l.dtype))
                : tensor(next++, l.y, CUDNN_DATA_FLOAT, true);
  };
  std::vector<Descriptor> operations;
  Descriptor y = result(!l.bias && !l.relu);
  operations.push_back(convolution(l, y));
  if (l.bias) {
    const Descriptor bias = tensor(id_bias, layout_by_channel(l.y.size[1]), CUDNN_DATA_FLOAT);
    Descriptor sum = result(!l.relu);
    operations.push_back(pointwise(CUDNN_POINTWISE_ADD, y, &bias, sum));
    y = std::move(sum);
  }
  if (l.relu) operations.push_back(pointwise(CUDNN_POINTWISE_RELU_FWD, y, nullptr, result(true)));
  return graph_of(operations, target);
}

std::vector<Plan> plans_of(const ConvolutionLayer& l, const Target& target, int64_t most,
                           int64_t workspace) {
  return plans_of(graph_of(l, target), target,
                  {.exact = l.exact, .most = most, .workspace = workspace});
}

}  // namespace kinema::kernels::cudnn
