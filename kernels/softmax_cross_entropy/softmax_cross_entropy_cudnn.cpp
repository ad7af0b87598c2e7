// The softmax alone, by cuDNN's older functions, as yardstick of that pass: the library has no
// cross entropy. Its x and p have one type, so 16 bits, which stand beside a p of f32, are not
// offered.
#include "kernels/cudnn/lanes.h"
#include "kernels/cudnn/legacy.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace kinema::kernels {

namespace cudnn {

namespace {

constexpr const char* op = "softmax_cross_entropy";

void softmax(Stream stream, View x, View p) {
  check_softmax(x, p);
  if (x.dtype != Dtype::f32)
    throw Unsupported("softmax: cudnn takes f32 alone, got " + std::string(name_of(x.dtype)) +
                      "; use --backend softmax_cross_entropy=cuda");
  if (!x.size()) return;
  const RowsOf from(op, x), to(op, p);
  constexpr float one = 1, zero = 0;
  check_offered(library().cudnnSoftmaxForward(handle(stream), CUDNN_SOFTMAX_ACCURATE,
                                              CUDNN_SOFTMAX_MODE_CHANNEL, &one, from.get(), x.data,
                                              &zero, to.get(), p.data),
                "softmax", op);
  zero_lanes(stream, p);
}

}  // namespace

}  // namespace cudnn

const SoftmaxCrossEntropy softmax_cross_entropy_cudnn = {
    .forward = nullptr, .grad = nullptr, .forward_grad = nullptr, .softmax = cudnn::softmax};

}  // namespace kinema::kernels
