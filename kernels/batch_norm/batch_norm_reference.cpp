#include <cmath>
#include "kernels/batch_norm/batch_norm.h"

namespace kinema::kernels {

namespace {

int64_t rows_of(const View& x) { return RowOffsets(x).rows(); }

template <class T>
struct Rows {
  explicit Rows(const View& v) : offset(v), base(v ? data<T>(v) : nullptr) {}
  T& operator()(int64_t row, int64_t c) const { return base[offset(row) + c]; }
  RowOffsets offset;
  T* base;
};

/// Mean, and variance divided by the number of rows, of channel c.
template <class T>
void moments(const View& x, int64_t c, double& mean, double& var) {
  const Rows<const T> at(x);
  const int64_t rows = rows_of(x);
  double sum = 0, squares = 0;
  for (int64_t r = 0; r < rows; ++r) sum += double(at(r, c));
  mean = sum / double(rows);
  for (int64_t r = 0; r < rows; ++r) {
    const double d = double(at(r, c)) - mean;
    squares += d * d;
  }
  var = squares / double(rows);
}

void statistics(Stream, View x, View mean, View var) {
  check_batch_norm_statistics(x, mean, var);
  dispatch_float("batch_norm", x.dtype, [&]<class T>(T) {
    for (int64_t c = 0; c < x.shape[-1]; ++c) {
      double m, v;
      moments<T>(x, c, m, v);
      data<Wide<T>>(mean)[c] = Wide<T>(m);
      data<Wide<T>>(var)[c] = Wide<T>(v);
    }
  });
}

/// The output before residual and ReLU, from rounded mean and rstd, as both passes see them.
double normalised(double x, double gamma, double beta, double mean, double rstd) {
  return (x - mean) * rstd * gamma + beta;
}

template <class T>
void clear_tails(const View& v) {
  const Rows<T> at(v);
  for (int64_t r = 0; v.size() && r < rows_of(v); ++r)
    for (int64_t i = 0; i < v.tail; ++i) at(r, v.shape[-1] + i) = T(0);
}

template <class T>
void apply(const View& x, const BatchNormParameters& p, const BatchNormEpilogue& e, const View& y,
           const BatchNormSaved& s) {
  const Rows<const T> from(x), residual(e.residual);
  const Rows<T> to(y);
  for (int64_t r = 0; r < rows_of(x); ++r)
    for (int64_t c = 0; c < x.shape[-1]; ++c) {
      double v = normalised(from(r, c), data<Wide<T>>(p.gamma)[c], data<Wide<T>>(p.beta)[c],
                            data<Wide<T>>(s.mean)[c], data<Wide<T>>(s.rstd)[c]);
      if (e.residual) v += double(residual(r, c));
      to(r, c) = T(e.relu && v < 0 ? 0 : v);
    }
  clear_tails<T>(y);
}

void train_forward(Stream, const BatchNormOptions& o, View x, const BatchNormParameters& p,
                   const BatchNormEpilogue& e, View y, const BatchNormSaved& s) {
  check_batch_norm(o, x, p, e, y, true);
  const double rows = double(rows_of(x));
  dispatch_float("batch_norm", x.dtype, [&]<class T>(T) {
    for (int64_t c = 0; c < x.shape[-1]; ++c) {
      double mean, var;
      moments<T>(x, c, mean, var);
      data<Wide<T>>(s.mean)[c] = Wide<T>(mean);
      data<Wide<T>>(s.rstd)[c] = Wide<T>(1 / std::sqrt(var + o.eps));
      Wide<T>&run_mean = data<Wide<T>>(p.running_mean)[c],
      &run_var = data<Wide<T>>(p.running_var)[c];
      run_mean = Wide<T>((1 - o.momentum) * double(run_mean) + o.momentum * mean);
      run_var = Wide<T>((1 - o.momentum) * double(run_var) + o.momentum * var * rows / (rows - 1));
    }
    apply<T>(x, p, e, y, s);
  });
}

void infer_forward(Stream, const BatchNormOptions& o, View x, const BatchNormParameters& p,
                   const BatchNormEpilogue& e, View y, const BatchNormSaved& s) {
  check_batch_norm(o, x, p, e, y, false);
  dispatch_float("batch_norm", x.dtype, [&]<class T>(T) {
    for (int64_t c = 0; c < x.shape[-1]; ++c) {
      data<Wide<T>>(s.mean)[c] = data<Wide<T>>(p.running_mean)[c];
      data<Wide<T>>(s.rstd)[c] =
          Wide<T>(1 / std::sqrt(double(data<Wide<T>>(p.running_var)[c]) + o.eps));
    }
    apply<T>(x, p, e, y, s);
  });
}

template <class T>
void put(const BatchNormTarget& to, int64_t row, int64_t c, double value) {
  if (!to) return;
  T& at = Rows<T>(to.view)(row, c);
  at = T(to.accumulate ? double(at) + value : value);
}

template <class T>
void grad_of_channel(const BatchNormKept& k, const View& dy, const BatchNormTargets& to,
                     bool training, int64_t c) {
  const int64_t rows = rows_of(k.x);
  const Rows<const T> x(k.x), y(k.y), of(dy);
  const Wide<T> gamma = data<Wide<T>>(k.gamma)[c], beta = data<Wide<T>>(k.beta)[c],
                mean = data<Wide<T>>(k.mean)[c], rstd = data<Wide<T>>(k.rstd)[c];
  auto passed = [&](int64_t r) {
    const double pre = k.y ? double(y(r, c)) : normalised(x(r, c), gamma, beta, mean, rstd);
    return !k.relu || Wide<T>(pre) > 0 ? double(of(r, c)) : 0.0;
  };
  auto xhat = [&](int64_t r) { return (double(x(r, c)) - double(mean)) * double(rstd); };
  double dbeta = 0, dgamma = 0;
  for (int64_t r = 0; r < rows; ++r) {
    dbeta += passed(r);
    dgamma += passed(r) * xhat(r);
  }
  for (int64_t r = 0; r < rows; ++r) {
    double dx = passed(r);
    if (training) dx -= (dbeta + xhat(r) * dgamma) / double(rows);
    put<T>(to.dx, r, c, double(gamma) * double(rstd) * dx);
    put<T>(to.dresidual, r, c, passed(r));
  }
  put<Wide<T>>(to.dgamma, 0, c, dgamma);
  put<Wide<T>>(to.dbeta, 0, c, dbeta);
}

void grad(const BatchNormKept& k, const View& dy, const BatchNormTargets& to, bool training) {
  check_batch_norm_grad(k, dy, to, training);
  dispatch_float("batch_norm", k.x.dtype, [&]<class T>(T) {
    for (int64_t c = 0; c < k.x.shape[-1]; ++c) grad_of_channel<T>(k, dy, to, training, c);
    if (to.dx) clear_tails<T>(to.dx.view);
    if (to.dresidual) clear_tails<T>(to.dresidual.view);
  });
}

void train_grad(Stream, const BatchNormKept& k, View dy, const BatchNormTargets& to) {
  grad(k, dy, to, true);
}
void infer_grad(Stream, const BatchNormKept& k, View dy, const BatchNormTargets& to) {
  grad(k, dy, to, false);
}

}  // namespace

const BatchNorm batch_norm_reference = {.statistics = statistics,
                                        .train_forward = train_forward,
                                        .infer_forward = infer_forward,
                                        .train_grad = train_grad,
                                        .infer_grad = infer_grad};

}  // namespace kinema::kernels
