#include <algorithm>
#include <cmath>
#include <vector>
#include "kernels/layer_norm/layer_norm.h"

namespace kinema::kernels {

namespace {

/// Element c of a parameter, or `standard` where it is not given.
template <class T>
double parameter(const View& v, int64_t c, double standard) {
  return v ? double(data<const Wide<T>>(v)[c]) : standard;
}

template <class T>
void forward_as(const LayerNormOptions& o, const View& x, const LayerNormParameters& p,
                const View& y, const LayerNormSaved& s) {
  const RowOffsets from(x), to(y);
  const int64_t channels = x.shape[-1];
  for (int64_t m = 0; m < from.rows(); ++m) {
    const T* in = data<const T>(x) + from(m);
    T* out = data<T>(y) + to(m);
    double mean = 0, var = 0;
    for (int64_t c = 0; c < channels; ++c) mean += double(in[c]) / double(channels);
    for (int64_t c = 0; c < channels; ++c)
      var += (double(in[c]) - mean) * (double(in[c]) - mean) / double(channels);
    const double rstd = 1 / std::sqrt(var + o.eps);
    for (int64_t c = 0; c < channels; ++c)
      out[c] = T((double(in[c]) - mean) * rstd * parameter<T>(p.gamma, c, 1) +
                 parameter<T>(p.beta, c, 0));
    if (channels) std::fill_n(out + channels, y.tail, T(0));
    data<Wide<T>>(s.mean)[m] = Wide<T>(mean);
    data<Wide<T>>(s.rstd)[m] = Wide<T>(rstd);
  }
}

void forward(Stream, const LayerNormOptions& o, View x, const LayerNormParameters& p, View y,
             const LayerNormSaved& s) {
  check_layer_norm(o, x, p, y, s);
  dispatch_float("layer_norm", x.dtype, [&]<class T>(T) { forward_as<T>(o, x, p, y, s); });
}

template <class T>
void put(T& to, bool accumulate, double value) {
  to = T((accumulate ? double(to) : 0) + value);
}

template <class T>
void grad_as(const LayerNormKept& k, const View& dy, const LayerNormTargets& to) {
  const RowOffsets in_x(k.x), in_dy(dy), in_dx(to.dx.view);
  const int64_t channels = k.x.shape[-1], rows = in_x.rows();
  std::vector<double> dgamma(static_cast<size_t>(channels)), dbeta(dgamma);
  for (int64_t m = 0; channels && m < rows; ++m) {
    const T *x = data<const T>(k.x) + in_x(m), *of = data<const T>(dy) + in_dy(m);
    const double mean = double(data<const Wide<T>>(k.mean)[m]),
                 rstd = double(data<const Wide<T>>(k.rstd)[m]);
    const auto xhat = [&](int64_t c) { return (double(x[c]) - mean) * rstd; };
    const auto g = [&](int64_t c) { return double(of[c]) * parameter<T>(k.gamma, c, 1); };
    double mean_g = 0, mean_g_xhat = 0;
    for (int64_t c = 0; c < channels; ++c) {
      mean_g += g(c) / double(channels);
      mean_g_xhat += g(c) * xhat(c) / double(channels);
      dgamma[size_t(c)] += double(of[c]) * xhat(c);
      dbeta[size_t(c)] += double(of[c]);
    }
    if (!to.dx) continue;
    T* dx = data<T>(to.dx.view) + in_dx(m);
    for (int64_t c = 0; c < channels; ++c)
      put(dx[c], to.dx.accumulate, rstd * (g(c) - mean_g - xhat(c) * mean_g_xhat));
    std::fill_n(dx + channels, to.dx.view.tail, T(0));
  }
  for (int64_t c = 0; c < channels; ++c) {
    if (to.dgamma) put(data<Wide<T>>(to.dgamma.view)[c], to.dgamma.accumulate, dgamma[size_t(c)]);
    if (to.dbeta) put(data<Wide<T>>(to.dbeta.view)[c], to.dbeta.accumulate, dbeta[size_t(c)]);
  }
}

void grad(Stream, const LayerNormKept& k, View dy, const LayerNormTargets& to) {
  check_layer_norm_grad(k, dy, to);
  dispatch_float("layer_norm", k.x.dtype, [&]<class T>(T) { grad_as<T>(k, dy, to); });
}

}  // namespace

const LayerNorm layer_norm_reference = {.forward = forward, .grad = grad};

}  // namespace kinema::kernels
