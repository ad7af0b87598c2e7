#include "kernels/batch_norm/batch_norm.h"

namespace kinema::kernels {

namespace {

void check_x(const View& x) {
  check(x.shape.rank >= 2, "batch_norm: x must have at least 2 axes, got ", x.shape);
  check(is_float(x.dtype), "batch_norm: expected a floating-point tensor, got ", x.dtype);
}

/// `v` is one wide number a channel of x.
void check_channels(const char* name, const View& v, const View& x) {
  const Shape channels{x.shape[-1]};
  const Dtype wide = wide_of(x.dtype);
  check(v.shape == channels && v.dtype == wide, "batch_norm: ", name, " must be ", wide, " ",
        channels, ", got ", v.dtype, " ", v.shape);
}

void check_like(const char* name, const View& v, const View& x) {
  check(v.shape == x.shape && v.dtype == x.dtype, "batch_norm: ", name, " must be ", x.dtype, " ",
        x.shape, ", got ", v.dtype, " ", v.shape);
}

void check_rows(const View& x) {
  int64_t rows = 1;
  for (int a = 0; a < x.shape.rank - 1; ++a) rows *= x.shape[a];
  check(rows > 1, "batch_norm: training needs more than one value per channel, got x ", x.shape);
}

}  // namespace

void check_batch_norm(const BatchNormOptions& o, const View& x, const BatchNormParameters& p,
                      const BatchNormEpilogue& e, const View& y, bool training) {
  check_x(x);
  check(o.eps >= 0, "batch_norm: eps must not be negative, got ", o.eps);
  check(o.momentum >= 0 && o.momentum <= 1, "batch_norm: momentum must lie in [0, 1], got ",
        o.momentum);
  check_channels("gamma", p.gamma, x);
  check_channels("beta", p.beta, x);
  check_channels("running_mean", p.running_mean, x);
  check_channels("running_var", p.running_var, x);
  check_like("y", y, x);
  if (e.residual) check_like("the residual", e.residual, x);
  if (training) check_rows(x);
}

void check_batch_norm_grad(const BatchNormKept& k, const View& dy, const BatchNormTargets& to,
                           bool training) {
  check_x(k.x);
  check_channels("gamma", k.gamma, k.x);
  check_channels("beta", k.beta, k.x);
  check_channels("mean", k.mean, k.x);
  check_channels("rstd", k.rstd, k.x);
  check_like("dy", dy, k.x);
  if (k.y) check_like("y", k.y, k.x);
  if (to.dx) check_like("dx", to.dx.view, k.x);
  if (to.dresidual) check_like("dresidual", to.dresidual.view, k.x);
  if (to.dgamma) check_channels("dgamma", to.dgamma.view, k.x);
  if (to.dbeta) check_channels("dbeta", to.dbeta.view, k.x);
  check(!to.dresidual || !k.relu || k.y,
        "batch_norm: the gradient of a residual under ReLU needs y");
  if (training) check_rows(k.x);
}

void check_batch_norm_statistics(const View& x, const View& mean, const View& var) {
  check_x(x);
  check_channels("mean", mean, x);
  check_channels("var", var, x);
  check_rows(x);
}

}  // namespace kinema::kernels
