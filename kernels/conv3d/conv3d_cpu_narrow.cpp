// bf16 and f16: converted to f32, computed there, rounded once after the epilogue. Some clips at a
// time, so that the copies in f32 stay small beside the activations that they stand for. What an
// epilogue asks of the stored result follows, for every type.
#include "kernels/conv3d/conv3d_cpu_epilogue.h"
#include "kernels/conv3d/conv3d_cpu_f32.h"
#include "kernels/copy/copy_in_f32.h"

namespace kinema::kernels {

namespace {

constexpr int64_t most_elements = 4 << 20;  // of one copy, 16 MiB; at least one clip

/// f(first, count) over clips of x and y; once where there are none, so that results are set.
template <class F>
void each_part(const View& x, const View& y, const F& f) {
  const int64_t clips = x.shape[0];
  const int64_t clip = std::max(x.size(), y.size()) / std::max<int64_t>(clips, 1);
  const int64_t step = std::max<int64_t>(most_elements / std::max<int64_t>(clip, 1), 1);
  int64_t first = 0;
  do {
    f(first, std::min(step, clips - first));
    first += step;
  } while (first < clips);
}

void narrow_forward(Stream s, const Conv3dOptions& opt, View x, View w, View y,
                    const Conv3dEpilogue& e) {
  const InF32 weights(w, InF32::load);
  each_part(x, y, [&](int64_t first, int64_t count) {
    const View part = y.slice(0, first, count);
    const InF32 from(x.slice(0, first, count), InF32::load), to(part, InF32::leave);
    const InF32 residual(e.residual ? e.residual.slice(0, first, count) : View{}, InF32::load);
    Conv3dEpilogue epilogue = e;
    epilogue.residual = residual.view;
    conv3d_cpu_f32.forward(s, opt, from.view, weights.view, to.view, epilogue);
    to.store(part);
  });
}

void forward(Stream s, const Conv3dOptions& opt, View x, View w, View y, const Conv3dEpilogue& e) {
  check_conv3d(opt, x, w, y, e);
  check_conv3d_tiles(e.partials, 1);
  (is_narrow(x.dtype) ? narrow_forward : conv3d_cpu_f32.forward)(s, opt, x, w, y, e);
  if (e.partials) conv3d_cpu_partials(y, e.partials);
}

void narrow_grad_input(Stream s, const Conv3dOptions& opt, View dy, View w, View dx,
                       const Conv3dGradEpilogue& e) {
  const InF32 weights(w, InF32::load);
  each_part(dx, dy, [&](int64_t first, int64_t count) {
    const View part = dx.slice(0, first, count);
    const InF32 from(dy.slice(0, first, count), InF32::load), to(part, InF32::leave);
    conv3d_cpu_f32.grad_input(s, opt, from.view, weights.view, to.view, {});
    to.store(part, e.accumulate);
  });
}

void grad_input(Stream s, const Conv3dOptions& opt, View dy, View w, View dx,
                const Conv3dGradEpilogue& e) {
  check_conv3d_input(opt, dy, w, dx, e);
  check_conv3d_tiles(e.sums, 1);
  (is_narrow(dy.dtype) ? narrow_grad_input : conv3d_cpu_f32.grad_input)(s, opt, dy, w, dx, e);
  if (e.mask) conv3d_cpu_mask(dx, e.mask);
  if (e.sums) conv3d_cpu_sums(dx, e);
}

void grad_weight(Stream s, const Conv3dOptions& opt, View x, View dy, View dw, bool accumulate) {
  if (!is_narrow(x.dtype)) return conv3d_cpu_f32.grad_weight(s, opt, x, dy, dw, accumulate);
  check_conv3d_weight(opt, x, dy, dw);
  each_part(x, dy, [&](int64_t first, int64_t count) {
    const InF32 from(x.slice(0, first, count), InF32::load),
        grad(dy.slice(0, first, count), InF32::load);
    conv3d_cpu_f32.grad_weight(s, opt, from.view, grad.view, dw, accumulate || first > 0);
  });
}

void grad_bias(Stream s, View dy, View db, bool accumulate) {
  if (!is_narrow(dy.dtype)) return conv3d_cpu_f32.grad_bias(s, dy, db, accumulate);
  check_conv3d_bias(dy, db);
  each_part(dy, dy, [&](int64_t first, int64_t count) {
    const InF32 grad(dy.slice(0, first, count), InF32::load);
    conv3d_cpu_f32.grad_bias(s, grad.view, db, accumulate || first > 0);
  });
}

}  // namespace

const Conv3d conv3d_cpu = {.forward = forward,
                           .grad_input = grad_input,
                           .grad_weight = grad_weight,
                           .grad_bias = grad_bias,
                           .tiles = one_tile};

}  // namespace kinema::kernels
