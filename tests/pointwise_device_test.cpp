#include <cmath>
#include <limits>
#include "kernels/pointwise/pointwise.h"
#include "kernels/pointwise/pointwise_cases.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

using kernels::DropoutOptions, kernels::Pointwise, kernels::Unary;

const Layout layouts[] = {Layout::fresh, Layout::odd_slice, Layout::slice, Layout::strided};

// Inputs are rounded already. sigmoid and tanh err by 3 units in the last place, what follows
// rounds twice more; times 2.
const double bound = 10 * epsilon_of(Dtype::f32);

/// A pass from two inputs to v[2], which it adds to or overwrites.
using Two = std::function<void(const Pointwise&, Stream, const std::vector<View>& v)>;
struct Named {
  std::string name;
  bool accumulate;
  Two run;
};

std::vector<Named> passes() {
  std::vector<Named> all;
  using V = std::vector<View>;
  for (Unary u : {Unary::relu, Unary::sigmoid, Unary::tanh}) {
    const std::string name = name_of(u);
    all.push_back({name, false, [=](const Pointwise& op, Stream s, const V& v) {
                     op.forward(s, u, v[0], v[2]);
                   }});
    for (bool more : {false, true})
      all.push_back({name + ".grad", more, [=](const Pointwise& op, Stream s, const V& v) {
                       op.grad(s, u, v[0], v[1], v[2], more);
                     }});
  }
  all.push_back({"add", false,
                 [](const Pointwise& op, Stream s, const V& v) { op.add(s, v[0], v[1], v[2]); }});
  all.push_back({"scale", false,
                 [](const Pointwise& op, Stream s, const V& v) { op.scale(s, 1.7, v[0], v[2]); }});
  const DropoutOptions o{.p = 0.3, .key = 5, .stream = 9};
  for (bool more : {false, true}) {
    all.push_back({"multiply", more, [=](const Pointwise& op, Stream s, const V& v) {
                     op.multiply(s, v[0], v[1], v[2], more);
                   }});
    all.push_back({"dropout", more, [=](const Pointwise& op, Stream s, const V& v) {
                     op.dropout(s, o, v[0], v[2], more);
                   }});
  }
  return all;
}

void expect_agreement(const Named& pass, const std::vector<Array>& arrays) {
  expect_op_matches(
      kernels::pointwise_reference, &kernels::pointwise_cuda, &kernels::pointwise_emulated, arrays,
      [&](const Pointwise& op) -> Pass {
        return [&](Stream s, const std::vector<View>& v) { pass.run(op, s, v); };
      },
      {input, input, bound}, "pointwise." + pass.name);
}

TEST(PointwiseDevice, EveryPassAgreesWithTheReference) {
  for (const auto& c : kernels::pointwise_cases) {
    if (std::string(c.tag) != "ci" || (small() && c.x.size() > 4000)) continue;
    for (Dtype type : device_types)
      for (Layout layout : layouts)
        for (const Named& pass : passes())
          expect_agreement(pass, {random_array(c.x, type, 1, -3, 3, layout),
                                  random_array(c.x, type, 2, -1, 1, layout),
                                  pass.accumulate ? random_array(c.x, type, 3, -1, 1, layout)
                                                  : Array(c.x, type, layout)});
  }
}

TEST(PointwiseDevice, TensorsOfOnePassMayLieDifferently) {
  const Shape shape{2, 3, 3, 4, 21};
  for (Dtype type : device_types)
    for (const Named& pass : passes()) {
      if (small() && type != Dtype::bf16) continue;
      for (int turn = 0; turn < 4; ++turn)
        expect_agreement(pass, {random_array(shape, type, 1, -3, 3, layouts[turn]),
                                random_array(shape, type, 2, -1, 1, layouts[(turn + 1) % 4]),
                                random_array(shape, type, 3, -1, 1, layouts[(turn + 2) % 4])});
    }
}

TEST(PointwiseDevice, KeepsNaNAndInfinityInSight) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> edges = {NAN,   -inf,  inf,  -100, 100, -0.0,
                                     1e-30, -1e-4, 1e-4, 0.5,  -0.6};
  const Array x = filled_array({11}, Dtype::f32, edges), y({11}, Dtype::f32);
  for (const Named& pass : passes())
    if (!pass.accumulate && pass.name != "dropout")
      expect_agreement(pass, {x, filled_array({11}, Dtype::f32, std::vector<double>(11, 1)), y});
}

// The bounds of expf, tanhf and the quick quotient in the CUDA programming guide, appendix on
// mathematical functions: 1, 2 and 2 units in the last place.
TEST(PointwiseDevice, SigmoidAndTanhAreGoodToFourUnits) {
  std::vector<double> at;
  for (float x = -80; x < 80; x += small() ? 0.31f : 0.0031f) at.push_back(double(x));
  for (float x = 1e-6f; x < 1; x *= 1.01f) at.push_back(double(x));
  const Shape shape{int64_t(at.size())};
  const Array x = filled_array(shape, Dtype::f32, at);
  for (const DeviceRun& run : device_runs())
    for (Unary u : {Unary::sigmoid, Unary::tanh}) {
      const auto& op =
          run.backend == Backend::cuda ? kernels::pointwise_cuda : kernels::pointwise_emulated;
      const std::vector<double> y =
          on_device(run, {x, Array(shape, Dtype::f32)},
                    [&](Stream s, const std::vector<View>& v) { op.forward(s, u, v[0], v[1]); })[1]
              .values();
      double worst = 0;
      for (size_t i = 0; i < at.size(); ++i) {
        const double exact = u == Unary::tanh ? std::tanh(at[i]) : 1 / (1 + std::exp(-at[i]));
        if (exact != 0) worst = std::max(worst, std::abs(y[i] / exact - 1));
      }
      EXPECT_LE(worst, 4 * epsilon_of(Dtype::f32)) << name_of(u) << " on " << run.name;
    }
}

TEST(PointwiseDevice, DropoutDrawsTheMaskOfTheOtherBackends) {
  for (const Shape& shape :
       {Shape{64}, Shape{1031}, Shape{9, 5}, Shape{7, 6}, Shape{3, 2, 2, 3, 3}})
    for (Dtype type : device_types)
      for (Layout layout : layouts)
        for (double p : {0., 0.1, 0.5, 1.}) {
          const DropoutOptions o{.p = p, .key = 0x123456789abcdef0u, .stream = 0xfedcba9876543210u};
          if (small() && p != 0.5) continue;
          const Array x = filled_array(shape, type, std::vector<double>(size_t(shape.size()), 1));
          const Array y(shape, type, layout);
          const auto pass = [&](const Pointwise& op) -> Pass {
            return
                [&](Stream s, const std::vector<View>& v) { op.dropout(s, o, v[0], v[1], false); };
          };
          // Kept elements are 1 / (1 - p) rounded: an element kept by one alone errs by 1.
          expect_op_matches(kernels::pointwise_reference, &kernels::pointwise_cuda,
                            &kernels::pointwise_emulated, {x, y}, pass,
                            {input, epsilon_of(Dtype::f32)}, "pointwise.dropout");
        }
}

TEST(PointwiseDevice, ScaleWorksInPlace) {
  const Array x = random_array({3, 45}, Dtype::bf16);
  const auto pass = [](const Pointwise& op) -> Pass {
    return [&op](Stream s, const std::vector<View>& v) { op.scale(s, -0.5, v[0], v[0]); };
  };
  expect_op_matches(kernels::pointwise_reference, &kernels::pointwise_cuda,
                    &kernels::pointwise_emulated, {x}, pass, {bound}, "pointwise.scale");
}

}  // namespace
}  // namespace kinema::test
