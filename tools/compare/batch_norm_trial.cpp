#include "kernels/batch_norm/batch_norm.h"
#include "kernels/batch_norm/batch_norm_cases.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

namespace {

using kernels::BatchNorm;

/// Adds one number a channel for each of `names`.
Trial& channels(Trial& t, const Shape& x, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const bool positive = std::string(name) == "gamma" || std::string(name) == "rstd" ||
                          std::string(name) == "running_var";
    t.reads(name, {x[-1]}, Dtype::f32, positive ? 0.5 : -0.2, positive ? 2 : 0.2);
  }
  return t;
}

void add_forward(const Request& r, Trial t, const Shape& x, double bound, bool training,
                 std::vector<Trial>& all) {
  const Dtype type = dtype_of(r.precision);
  const Shape c{x[-1]};
  t.pass = training ? "train_forward" : "infer_forward";
  channels(t.reads("x", x, type), x, {"gamma", "beta"});
  if (training) {
    t.updates("running_mean", c, Dtype::f32, bound);
    t.updates("running_var", c, Dtype::f32, bound, 0.5, 2);
    t.more_bytes = x.size() * size_of(type);  // x is read twice
  } else {
    channels(t, x, {"running_mean", "running_var"});
  }
  t.writes("y", x, type, bound).writes("mean", c, Dtype::f32, bound);
  t.writes("rstd", c, Dtype::f32, bound);
  const auto call = [](auto f, Stream s, const Views& v) {
    f(s, {}, v[0], {v[1], v[2], v[3], v[4]}, {}, v[5], {v[6], v[7]});
  };
  all.push_back(training ? t.runs(&BatchNorm::train_forward, call)
                         : t.runs(&BatchNorm::infer_forward, call));
}

void add_grad(const Request& r, Trial t, const Shape& x, double bound, bool training,
              std::vector<Trial>& all) {
  const Dtype type = dtype_of(r.precision);
  const Shape c{x[-1]};
  t.pass = training ? "train_grad" : "infer_grad";
  channels(t.reads("x", x, type), x, {"gamma", "beta", "mean", "rstd"}).reads("dy", x, type);
  // Two rows leave dx a difference of large numbers, against whose rest roundings are measured.
  const bool cancels = training && x.size() == 2 * x[-1];
  t.writes("dx", x, type, cancels ? 64 * bound : bound).writes("dgamma", c, Dtype::f32, bound);
  t.writes("dbeta", c, Dtype::f32, bound);
  if (training) t.more_bytes = 2 * x.size() * size_of(type);  // x and dy are read twice
  const auto call = [](auto f, Stream s, const Views& v) {
    f(s, {v[0], v[1], v[2], v[3], v[4], {}, false}, v[5], {{v[6]}, {v[7]}, {v[8]}, {}});
  };
  all.push_back(training ? t.runs(&BatchNorm::train_grad, call)
                         : t.runs(&BatchNorm::infer_grad, call));
}

/// A thread adds up some dozens of products in f32, blocks are merged in f64: 32 roundings, times
/// 2.
void add(const Request& r, const Shape& x, std::vector<Trial>& all) {
  const double bound = 64 * f32_epsilon;
  const Trial t{.precision = r.precision,
                .shape = word_of("x", x),
                .reason = "sums of dozens of terms in f32, merged in f64"};
  Trial statistics = t;
  statistics.pass = "statistics";
  all.push_back(statistics.reads("x", x, dtype_of(r.precision))
                    .writes("mean", {x[-1]}, Dtype::f32, bound)
                    .writes("var", {x[-1]}, Dtype::f32, bound)
                    .runs(&BatchNorm::statistics,
                          [](auto f, Stream s, const Views& v) { f(s, v[0], v[1], v[2]); }));
  for (bool training : {true, false}) {
    add_forward(r, t, x, bound, training, all);
    add_grad(r, t, x, bound, training, all);
  }
}

std::vector<Trial> make(const Request& r) {
  using Case = kernels::BatchNormCase;
  std::vector<Trial> all;
  if (r.precision == Precision::tf32) return all;
  for (const Shape& x : shapes_of(r, "batch_norm", kernels::batch_norm_cases, &Case::x))
    add(r, x, all);
  return all;
}

}  // namespace

extern const Trials batch_norm_trial;
const Trials batch_norm_trial = {"batch_norm", constant_of<kernels::batch_norm>, make};

}  // namespace kinema::tools::compare
