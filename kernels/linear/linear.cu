#include "kernels/conv3d/conv3d.h"
#include "kernels/device/twin.h"
#include "kernels/linear/linear.h"

// A fully connected layer is a convolution by 1x1x1 of one frame whose only row has a pixel a row.

namespace kinema::kernels::device::inline KERNELS_TWIN::linear {

namespace {

const Conv3d& op() { return KERNELS_DEVICE(conv3d); }

View with_axes(const View& v, const Shape& shape, const Strides& strides) {
  View wide = v;
  wide.shape = shape;
  wide.strides = strides;
  return wide;
}
/// [rows,channels] as [1,1,1,rows,channels].
View pixels(const View& v) {
  const int64_t rows = v.shape[0], pitch = v.stride(0), all = rows * pitch;
  return with_axes(v, {1, 1, 1, rows, v.shape[1]}, {all, all, all, pitch, 1});
}
/// [out,in] as [out,1,1,1,in].
View filters(const View& v) {
  const int64_t pitch = v.stride(0);
  return with_axes(v, {v.shape[0], 1, 1, 1, v.shape[1]}, {pitch, pitch, pitch, pitch, 1});
}

}  // namespace

void forward(Stream stream, const LinearOptions& o, View x, View w, View y,
             const LinearEpilogue& e) {
  check_linear(x, w, y, e);
  op().forward(stream, {.tf32 = o.tf32}, pixels(x), filters(w), pixels(y),
               {.bias = e.bias, .relu = e.relu});
}

void grad_input(Stream stream, const LinearOptions& o, View dy, View w, View dx, bool accumulate) {
  check_linear(dx, w, dy);
  op().grad_input(stream, {.tf32 = o.tf32}, pixels(dy), filters(w), pixels(dx),
                  {.accumulate = accumulate});
}

void grad_weight(Stream stream, const LinearOptions& o, View x, View dy, View dw, bool accumulate) {
  check_linear_weight(x, dy, dw);
  op().grad_weight(stream, {.tf32 = o.tf32}, pixels(x), pixels(dy), filters(dw), accumulate);
}

void grad_bias(Stream stream, View dy, View db, bool accumulate) {
  check_linear_bias(dy, db);
  op().grad_bias(stream, pixels(dy), db, accumulate);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::linear

namespace kinema::kernels {

const Linear KERNELS_DEVICE(linear) = {.forward = device::linear::forward,
                                       .grad_input = device::linear::grad_input,
                                       .grad_weight = device::linear::grad_weight,
                                       .grad_bias = device::linear::grad_bias};

}  // namespace kinema::kernels
