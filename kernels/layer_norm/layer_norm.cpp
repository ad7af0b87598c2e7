#include "kernels/layer_norm/layer_norm.h"

namespace kinema::kernels {

namespace {

void check_x(const View& x) {
  check(x.shape.rank >= 1, "layer_norm: x must have at least 1 axis, got ", x.shape);
  check(is_float(x.dtype), "layer_norm: expected a floating-point tensor, got ", x.dtype);
}

void check_view(const char* name, const View& v, Dtype dtype, const Shape& shape) {
  check(v.shape == shape && v.dtype == dtype, "layer_norm: ", name, " must be ", dtype, " ", shape,
        ", got ", v.dtype, " ", v.shape);
}

/// `v`, where it is given, is one wide number a channel of x.
void check_channels(const char* name, const View& v, const View& x) {
  if (v) check_view(name, v, wide_of(x.dtype), {x.shape[-1]});
}

void check_rows(const char* name, const View& v, const View& x) {
  check_view(name, v, wide_of(x.dtype), {layer_norm_rows(x)});
}

}  // namespace

int64_t layer_norm_rows(const View& x) { return RowOffsets(x).rows(); }

void check_layer_norm(const LayerNormOptions& o, const View& x, const LayerNormParameters& p,
                      const View& y, const LayerNormSaved& s) {
  check_x(x);
  check(o.eps >= 0, "layer_norm: eps must not be negative, got ", o.eps);
  check_channels("gamma", p.gamma, x);
  check_channels("beta", p.beta, x);
  check_view("y", y, x.dtype, x.shape);
  check_rows("mean", s.mean, x);
  check_rows("rstd", s.rstd, x);
}

void check_layer_norm_grad(const LayerNormKept& k, const View& dy, const LayerNormTargets& to) {
  check_x(k.x);
  check_channels("gamma", k.gamma, k.x);
  check_rows("mean", k.mean, k.x);
  check_rows("rstd", k.rstd, k.x);
  check_view("dy", dy, k.x.dtype, k.x.shape);
  if (to.dx) check_view("dx", to.dx.view, k.x.dtype, k.x.shape);
  check_channels("dgamma", to.dgamma.view, k.x);
  check_channels("dbeta", to.dbeta.view, k.x);
}

}  // namespace kinema::kernels
