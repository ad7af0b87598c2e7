#include "kernels/pool3d/pool3d.h"

namespace kinema::kernels {

namespace {

constexpr const char* axis_name[] = {"T", "H", "W"};

/// Windows along axis `a` of x.
int64_t windows(const Pool3dOptions& o, const Shape& x, int a) {
  const size_t i = size_t(a);
  const int64_t kernel = o.kernel[i], step = o.step()[i], front = o.pad_front[i],
                back = o.pad_back[i], size = x[1 + a];
  check(kernel >= 1, "pool3d: the kernel must be at least 1, got ", kernel, " along ",
        axis_name[a]);
  check(step >= 1, "pool3d: the stride must not be negative, got ", step, " along ", axis_name[a]);
  check(front >= 0 && front < kernel && back >= 0 && back < kernel,
        "pool3d: padding must be from 0 to below the kernel of ", kernel, ", got ", front, " and ",
        back, " along ", axis_name[a]);
  if (size == 0) return 0;
  const int64_t room = size + front + back - kernel + (o.ceil_mode ? step - 1 : 0);
  check(room >= 0, "pool3d: the window spans ", kernel, " along ", axis_name[a], ", but x ", x,
        " has only ", size + front + back, " with padding");
  const int64_t count = room / step + 1;
  return o.ceil_mode && (count - 1) * step >= size + front ? count - 1 : count;
}

}  // namespace

Shape pool3d_output(const Pool3dOptions& o, const Shape& x) {
  check(x.rank == 5, "pool3d: x must be [N,T,H,W,C], got ", x);
  const Shape y{x[0], windows(o, x, 0), windows(o, x, 1), windows(o, x, 2), x[4]};
  check(o.kernel[0] <= INT32_MAX / o.kernel[1] / o.kernel[2],
        "pool3d: the window must hold fewer than 2^31 elements, got ", o.kernel[0], "x",
        o.kernel[1], "x", o.kernel[2]);
  return y;
}

void check_pool3d(const Pool3dOptions& o, const View& x, const View& y, const View& taps) {
  const Shape expected = pool3d_output(o, x.shape);
  check(y.shape == expected, "pool3d: y must be ", expected, ", got ", y.shape);
  check(is_float(x.dtype), "pool3d: expected a floating-point tensor, got ", x.dtype);
  check(x.dtype == y.dtype, "pool3d: x and y must have one type, got ", x.dtype, " and ", y.dtype);
  check(!taps || (taps.shape == expected && taps.dtype == pool3d_taps(o)), "pool3d: taps must be ",
        pool3d_taps(o), " ", expected, ", got ", taps.dtype, " ", taps.shape);
}

}  // namespace kinema::kernels
