// Local response norm across channels by cuDNN's older functions; its graphs have none. What it
// does otherwise:
//   its alpha weights the mean of a window: ours times n; n is at most 16
//   the numbers of the formula are rounded to the type of the tensors (cudnn_ops.h)
//   its gradient reads y, which is not kept here: forward runs first, into a workspace
#include <array>
#include "kernels/cudnn/lanes.h"
#include "kernels/cudnn/legacy.h"
#include "kernels/cudnn/workspace.h"
#include "kernels/local_response_norm/local_response_norm.h"

namespace kinema::kernels {

namespace cudnn {

namespace {

constexpr const char* op = "local_response_norm";

/// Whoever refuses says what to use instead.
[[noreturn]] void refuse(const char* limit) {
  throw Unsupported(std::string(op) + ": cudnn takes " + limit +
                    "; use --backend local_response_norm=cuda");
}

using Handle = Legacy<cudnnLRNDescriptor_t, &Cudnn::cudnnCreateLRNDescriptor,
                      &Cudnn::cudnnDestroyLRNDescriptor>;

void set(const Handle& norm, const LocalResponseNormOptions& o) {
  if (o.n > CUDNN_LRN_MAX_N) refuse("windows of at most 16 channels");
  if (o.k < CUDNN_LRN_MIN_K) refuse("a k of at least 1e-5");
  if (o.beta < CUDNN_LRN_MIN_BETA) refuse("a beta of at least 0.01");
  check_cudnn(library().cudnnSetLRNDescriptor(norm.get(), unsigned(o.n), o.alpha * double(o.n),
                                              o.beta, o.k),
              op);
}

constexpr float one = 1, zero = 0;

void forward(Stream stream, const LocalResponseNormOptions& o, View x, View y) {
  check_local_response_norm(o, x, y);
  cudnn_type(op, x.dtype);
  if (!x.size()) return;
  const Handle norm;
  set(norm, o);
  const RowsOf from(op, x), to(op, y);
  check_offered(library().cudnnLRNCrossChannelForward(handle(stream), norm.get(),
                                                      CUDNN_LRN_CROSS_CHANNEL_DIM1, &one,
                                                      from.get(), x.data, &zero, to.get(), y.data),
                "local_response_norm.forward", op);
  zero_lanes(stream, y);
}

void grad(Stream stream, const LocalResponseNormOptions& o, View x, View dy, View dx,
          bool accumulate) {
  check_local_response_norm(o, x, dy);
  check_local_response_norm(o, x, dx);
  cudnn_type(op, x.dtype);
  if (!x.size()) return;
  const Handle norm;
  set(norm, o);
  View y = fresh_layout(x.dtype, x.shape);
  const RowsOf like_x(op, x), like_dy(op, dy), like_dx(op, dx), like_y(op, y);
  const int64_t bytes = span(y) * size_of(y.dtype);
  if (bytes > workspace_limit) refuse("a y of at most 64 MB to compute its gradient from");
  const Workspace memory(stream, bytes);
  y.data = memory.data();
  const cudnnHandle_t h = handle(stream);
  constexpr auto mode = CUDNN_LRN_CROSS_CHANNEL_DIM1;
  check_offered(library().cudnnLRNCrossChannelForward(h, norm.get(), mode, &one, like_x.get(),
                                                      x.data, &zero, like_y.get(), y.data),
                "local_response_norm.grad", op);
  check_offered(library().cudnnLRNCrossChannelBackward(
                    h, norm.get(), mode, &one, like_y.get(), y.data, like_dy.get(), dy.data,
                    like_x.get(), x.data, accumulate ? &one : &zero, like_dx.get(), dx.data),
                "local_response_norm.grad", op);
  zero_lanes(stream, dx);
}

}  // namespace

}  // namespace cudnn

const LocalResponseNorm local_response_norm_cudnn = {.forward = cudnn::forward,
                                                     .grad = cudnn::grad};

}  // namespace kinema::kernels
