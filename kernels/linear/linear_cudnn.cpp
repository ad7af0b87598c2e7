// Three products of cuBLASLt, which takes any pitch as its leading dimension, so slices of channels
// too. What it does otherwise than our own kernels: beside bf16 and f16 the bias is rounded to
// their type, since no algorithm adds one of f32 there. What is around a product, and where there
// is nothing to multiply, is our own kernels'.
#include "kernels/copy/copy.h"
#include "kernels/cudnn/lanes.h"
#include "kernels/cudnn/library.h"
#include "kernels/cudnn/matmul.h"
#include "kernels/cudnn/workspace.h"
#include "kernels/linear/linear.h"

namespace kinema::kernels {

namespace cudnn {

namespace {

/// By name: the contract's function would bring backend cpu, and so oneDNN, into every program.
const Linear& own() {
  check(&linear_cuda, "linear: this program was built without CUDA");
  return linear_cuda;
}

/// A bias in the type of what it is added to.
class RoundedBias {
 public:
  RoundedBias(Stream stream, const View& bias, Dtype type)
      : view_(bias), memory_(stream, bias && bias.dtype != type ? bias.size() * size_of(type) : 0) {
    if (!memory_.data()) return;
    view_ = fresh_layout(type, bias.shape);
    view_.data = memory_.data();
    copy_cuda.forward(stream, bias, view_, false);
  }
  const View& view() const { return view_; }

 private:
  View view_;
  Workspace memory_;
};

void forward(Stream stream, const LinearOptions& o, View x, View w, View y,
             const LinearEpilogue& e) {
  check_linear(x, w, y, e);
  cudnn_type("linear", x.dtype);
  if (!x.size() || !y.size()) return own().forward(stream, o, x, w, y, e);
  const RoundedBias bias(stream, e.bias, y.dtype);
  multiply("linear.forward", stream,
           {.a = x,
            .b = w,
            .c = y,
            .transpose_b = true,
            .bias = bias.view(),
            .relu = e.relu,
            .tf32 = o.tf32});
  zero_lanes(stream, y);
}

void grad_input(Stream stream, const LinearOptions& o, View dy, View w, View dx, bool accumulate) {
  check_linear(dx, w, dy);
  cudnn_type("linear", dx.dtype);
  if (!dy.size() || !dx.size()) return own().grad_input(stream, o, dy, w, dx, accumulate);
  multiply("linear.grad_input", stream,
           {.a = dy, .b = w, .c = dx, .accumulate = accumulate, .tf32 = o.tf32});
  zero_lanes(stream, dx);
}

void grad_weight(Stream stream, const LinearOptions& o, View x, View dy, View dw, bool accumulate) {
  check_linear_weight(x, dy, dw);
  cudnn_type("linear", x.dtype);
  if (!dw.size() || !x.size()) return own().grad_weight(stream, o, x, dy, dw, accumulate);
  multiply(
      "linear.grad_weight", stream,
      {.a = dy, .b = x, .c = dw, .transpose_a = true, .accumulate = accumulate, .tf32 = o.tf32});
  zero_lanes(stream, dw);
}

void grad_bias(Stream stream, View dy, View db, bool accumulate) {
  own().grad_bias(stream, dy, db, accumulate);
}

}  // namespace

}  // namespace cudnn

const Linear linear_cudnn = {.forward = cudnn::forward,
                             .grad_input = cudnn::grad_input,
                             .grad_weight = cudnn::grad_weight,
                             .grad_bias = cudnn::grad_bias};

}  // namespace kinema::kernels
