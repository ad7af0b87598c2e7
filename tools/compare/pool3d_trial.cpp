#include "kernels/pool3d/pool3d.h"
#include "kernels/pool3d/pool3d_cases.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

namespace {

using kernels::Pool3d, kernels::Pool3dCase, kernels::Pool3dOptions;

std::string text_of(const Pool3dCase& c) {
  const Pool3dOptions& o = c.options;
  return word_of("x", c.x) + word_of("kernel", o.kernel, {0, 0, 0}) +
         word_of("stride", o.stride, {0, 0, 0}) + word_of("pad", o.pad_front, {0, 0, 0}) +
         word_of("pad_back", o.pad_back, o.pad_front) + (o.ceil_mode ? " ceil=1" : "") +
         (o.count_padding ? "" : " count_padding=0");
}

Pool3dCase from_text(const std::string& text) {
  Words words("pool3d", text);
  Pool3dCase c{"", words.shape("x", 5), {}};
  Pool3dOptions& o = c.options;
  o.kernel = words.triple("kernel", o.kernel, 1);
  o.stride = words.triple("stride", o.stride);
  o.pad_front = words.triple("pad", o.pad_front);
  o.pad_back = words.triple("pad_back", o.pad_front);
  o.ceil_mode = words.flag("ceil", false);
  o.count_padding = words.flag("count_padding", true);
  words.done();
  kernels::pool3d_output(o, c.x);
  return c;
}

/// Some tap of output i that lies within x, whatever the window: taps differ from pixel to pixel.
double tap_of(const Pool3dOptions& o, const Shape& x, const Shape& y, int64_t i) {
  int64_t rest = i / y[4], tap = 0, unit = 1;
  for (int a = 3; a >= 1; --a) {
    const size_t k = size_t(a - 1);
    const int64_t begin = rest % y[a] * o.step()[k] - o.pad_front[k];
    const int64_t first = std::max<int64_t>(0, -begin),
                  count = std::min(o.kernel[k], x[a] - begin) - first;
    tap += (first + i % 7 % count) * unit;
    unit *= o.kernel[k];
    rest /= y[a];
  }
  return double(tap);
}

void add(const Request& r, const Pool3dCase& c, std::vector<Trial>& all) {
  const Pool3dOptions o = c.options;
  const Shape x = c.x, y = kernels::pool3d_output(o, x);
  const Dtype type = dtype_of(r.precision), taps = kernels::pool3d_taps(o);
  // All terms are positive: a sum of n of them in f32, a reciprocal and a product err by n + 2
  // halves of epsilon; times 2.
  const double bound = double(o.kernel[0] * o.kernel[1] * o.kernel[2] + 2) * f32_epsilon;
  const auto pass = [&](const char* name, const char* reason) {
    return Trial{.pass = name, .precision = r.precision, .shape = text_of(c), .reason = reason};
  };
  all.push_back(pass("max_forward", "nothing is rounded")
                    .reads("x", x, type)
                    .writes("y", y, type, 0)
                    .writes("taps", y, taps, 0)
                    .runs(&Pool3d::max_forward,
                          [o](auto f, Stream s, const Views& v) { f(s, o, v[0], v[1], v[2]); }));
  all.push_back(pass("max_grad", "sums over a window in f32")
                    .reads("dy", y, type, 0.5, 1.5)
                    .reads("taps", y, taps, [=](int64_t i) { return tap_of(o, x, y, i); })
                    .writes("dx", x, type, bound)
                    .runs(&Pool3d::max_grad, [o](auto f, Stream s, const Views& v) {
                      f(s, o, v[0], v[1], v[2], false);
                    }));
  all.push_back(pass("average_forward", "sums over a window in f32")
                    .reads("x", x, type, 0.5, 1.5)
                    .writes("y", y, type, bound)
                    .runs(&Pool3d::average_forward,
                          [o](auto f, Stream s, const Views& v) { f(s, o, v[0], v[1]); }));
  all.push_back(pass("average_grad", "sums over a window in f32")
                    .reads("dy", y, type, 0.5, 1.5)
                    .writes("dx", x, type, bound)
                    .runs(&Pool3d::average_grad,
                          [o](auto f, Stream s, const Views& v) { f(s, o, v[0], v[1], false); }));
}

std::vector<Trial> make(const Request& r) {
  std::vector<Trial> all;
  if (r.precision == Precision::tf32) return all;
  if (r.by_hand()) add(r, from_text(r.shapes), all);
  for (const Pool3dCase& c : kernels::pool3d_cases)
    if (!r.by_hand() && r.wants(c.tag)) add(r, c, all);
  return all;
}

}  // namespace

extern const Trials pool3d_trial;
const Trials pool3d_trial = {"pool3d", constant_of<kernels::pool3d>, make};

}  // namespace kinema::tools::compare
