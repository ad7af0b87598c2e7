#include "kernels/conv3d/conv3d.h"

namespace kinema::kernels {

Shape conv3d_output(const Conv3dOptions& o, const Shape& x, const Shape& w) {
  check(x.rank == 5, "conv3d: x must be [N,T,H,W,C], got ", x);
  check(w.rank == 5, "conv3d: w must be [K,kt,kh,kw,C/groups], got ", w);
  check(o.groups >= 1 && x[4] % o.groups == 0 && w[0] % o.groups == 0,
        "conv3d: groups must divide both channel counts, got ", o.groups, " groups for x ", x,
        " and w ", w);
  check(w[4] == x[4] / o.groups, "conv3d: w must take ", x[4] / o.groups,
        " channels a group, got w ", w, " for x ", x);
  Shape y{x[0], 0, 0, 0, w[0]};
  constexpr const char* axis_name[] = {"T", "H", "W"};
  for (int a = 0; a < 3; ++a) {
    const size_t i = size_t(a);
    check(o.stride[i] >= 1 && o.dilation[i] >= 1,
          "conv3d: stride and dilation must be at least 1, got ", o.stride[i], " and ",
          o.dilation[i], " along ", axis_name[a]);
    check(o.pad_front[i] >= 0 && o.pad_back[i] >= 0, "conv3d: padding must not be negative, got ",
          o.pad_front[i], " and ", o.pad_back[i], " along ", axis_name[a]);
    check(w[1 + a] >= 1, "conv3d: the filter needs at least 1 tap along ", axis_name[a], ", got w ",
          w);
    const int64_t padded = x[1 + a] + o.pad_front[i] + o.pad_back[i];
    const int64_t reach = (w[1 + a] - 1) * o.dilation[i] + 1;
    check(padded >= reach || x[1 + a] == 0, "conv3d: the filter spans ", reach, " along ",
          axis_name[a], ", but x ", x, " has only ", padded, " with padding");
    y[1 + a] = x[1 + a] == 0 || padded < reach ? 0 : (padded - reach) / o.stride[i] + 1;
  }
  return y;
}

/// What an epilogue leaves of each tile.
static void check_tiles(const char* name, const View& v, int64_t values, int64_t channels,
                        Dtype wide) {
  check(!v || (v.shape.rank == 3 && v.shape[1] == values && v.shape[2] == channels &&
               v.dtype == wide),
        "conv3d: ", name, " must be ", wide, " [tiles,", values, ",", channels, "], got ", v.dtype,
        " ", v.shape);
}

void check_conv3d(const Conv3dOptions& o, const View& x, const View& w, const View& y,
                  const Conv3dEpilogue& e) {
  const Shape expected = conv3d_output(o, x.shape, w.shape);
  check(y.shape == expected, "conv3d: y must be ", expected, ", got ", y.shape);
  check(x.dtype == w.dtype && x.dtype == y.dtype, "conv3d: x, w and y must have one type, got ",
        x.dtype, ", ", w.dtype, " and ", y.dtype);
  const Shape channels{y.shape[4]};
  const Dtype wide = wide_of(y.dtype);
  for (const View* v : {&e.bias, &e.scale, &e.shift})
    check(!*v || (v->shape == channels && v->dtype == wide),
          "conv3d: bias, scale and shift must be ", wide, " ", channels, ", got ", v->dtype, " ",
          v->shape);
  check(!e.residual || (e.residual.shape == y.shape && e.residual.dtype == y.dtype),
        "conv3d: the residual must be ", y.dtype, " ", y.shape, ", got ", e.residual.dtype, " ",
        e.residual.shape);
  check_tiles("partials", e.partials, 3, channels[0], wide);
}

void check_conv3d_input(const Conv3dOptions& o, const View& dy, const View& w, const View& dx,
                        const Conv3dGradEpilogue& e) {
  check_conv3d(o, dx, w, dy);
  for (const View* v : {&e.mask, &e.z})
    check(!*v || (v->shape == dx.shape && v->dtype == dx.dtype), "conv3d: mask and z must be ",
          dx.dtype, " ", dx.shape, ", got ", v->dtype, " ", v->shape);
  const Shape channels{dx.shape[4]};
  const Dtype wide = wide_of(dx.dtype);
  check(!e.mean || (e.mean.shape == channels && e.mean.dtype == wide), "conv3d: mean must be ",
        wide, " ", channels, ", got ", e.mean.dtype, " ", e.mean.shape);
  check(bool(e.sums) == bool(e.z) && bool(e.sums) == bool(e.mean),
        "conv3d: sums, z and mean go together, got only some of them");
  check_tiles("sums", e.sums, 2, channels[0], wide);
}

void check_conv3d_tiles(const View& of_tiles, int64_t tiles) {
  check(!of_tiles || of_tiles.shape[0] == tiles,
        "conv3d: partials and sums need an entry for each ", "of ", tiles, " tiles, got ",
        of_tiles.shape);
}

void check_conv3d_weight(const Conv3dOptions& o, const View& x, const View& dy, const View& dw) {
  check(dw.dtype == wide_of(x.dtype), "conv3d: dw must be ", wide_of(x.dtype), " beside ", x.dtype,
        ", got ", dw.dtype);
  View w = dw;
  w.dtype = x.dtype;
  check_conv3d(o, x, w, dy);
}

void check_conv3d_bias(const View& dy, const View& db) {
  check(dy.shape.rank == 5, "conv3d: dy must be [N,To,Ho,Wo,K], got ", dy.shape);
  check(db.shape == Shape{dy.shape[4]} && db.dtype == wide_of(dy.dtype), "conv3d: db must be ",
        wide_of(dy.dtype), " ", Shape{dy.shape[4]}, ", got ", db.dtype, " ", db.shape);
}

}  // namespace kinema::kernels
