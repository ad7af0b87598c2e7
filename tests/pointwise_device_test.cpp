#include "tests/pointwise_device_test.h"
#include <cmath>
#include <limits>
#include <random>
#include "kernels/copy/copy.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/pointwise/pointwise_cases.h"
#include "tests/support/conformance.h"

namespace kinema::test {
namespace {

using kernels::DropoutOptions, kernels::Pointwise, kernels::Unary;

const Layout layouts[] = {Layout::fresh, Layout::odd_slice, Layout::slice, Layout::strided};

// Inputs are rounded already. sigmoid and tanh err by 3 units in the last place, what follows
// rounds twice more; times 2.
const double bound = 10 * epsilon_of(Dtype::f32);

Array step_of(int64_t step) { return filled_array({1}, Dtype::i64, {double(step)}); }

/// A pass from two inputs to v[2], which it adds to or overwrites; v[3] is a step.
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
  const DropoutOptions o{.p = 0.3, .seed = 5, .place = 9, .call = 2};
  for (bool more : {false, true}) {
    all.push_back({"multiply", more, [=](const Pointwise& op, Stream s, const V& v) {
                     op.multiply(s, v[0], v[1], v[2], more);
                   }});
    all.push_back({"dropout", more, [=](const Pointwise& op, Stream s, const V& v) {
                     op.dropout(s, o, v[3], v[0], v[2], more);
                   }});
  }
  return all;
}

void expect_agreement(const Named& pass, std::vector<Array> arrays) {
  arrays.push_back(step_of(11));
  expect_op_matches(
      kernels::pointwise_reference, &kernels::pointwise_cuda, &kernels::pointwise_emulated, arrays,
      [&](const Pointwise& op) -> Pass {
        return [&](Stream s, const std::vector<View>& v) { pass.run(op, s, v); };
      },
      {input, input, bound, input}, "pointwise." + pass.name);
}

TEST(PointwiseDevice, EveryPassAgreesWithTheReference) {
  for (const auto& c : kernels::pointwise_cases) {
    if (std::string(c.tag) != "ci") continue;
    const bool large = c.x.size() > 10000;
    for (Dtype type : device_types)
      for (Layout layout : layouts)
        for (const Named& pass : passes()) {
          if (large && (small() || layout != Layout::fresh || type != Dtype::bf16)) continue;
          expect_agreement(pass, {random_array(c.x, type, 1, -3, 3, layout),
                                  random_array(c.x, type, 2, -1, 1, layout),
                                  pass.accumulate ? random_array(c.x, type, 3, -1, 1, layout)
                                                  : Array(c.x, type, layout)});
        }
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
          const DropoutOptions o{
              .p = p, .seed = 0x123456789abcdef0u, .place = 0xfedcba9876543210u, .call = 3};
          if (small() && p != 0.5) continue;
          const Array x = filled_array(shape, type, std::vector<double>(size_t(shape.size()), 1));
          const Array y(shape, type, layout);
          const auto pass = [&](const Pointwise& op) -> Pass {
            return [&](Stream s, const std::vector<View>& v) {
              op.dropout(s, o, v[2], v[0], v[1], false);
            };
          };
          // Kept elements are 1 / (1 - p) rounded: an element kept by one alone errs by 1.
          expect_op_matches(kernels::pointwise_reference, &kernels::pointwise_cuda,
                            &kernels::pointwise_emulated, {x, y, step_of(11)}, pass,
                            {input, epsilon_of(Dtype::f32), input}, "pointwise.dropout");
        }
}

// A grid that fills the machine goes through this more than once.
TEST(PointwiseDevice, ThreadsGoAroundForLargeTensors) {
  if (small()) GTEST_SKIP() << "nothing new for the race detector";
  const Array x = random_array({310, 1000}, Dtype::bf16), y({310, 1000}, Dtype::bf16);
  const auto pass = [](const Pointwise& op) -> Pass {
    return [&op](Stream s, const std::vector<View>& v) { op.scale(s, 3, v[0], v[1]); };
  };
  expect_op_matches(kernels::pointwise_reference, &kernels::pointwise_cuda,
                    &kernels::pointwise_emulated, {x, y}, pass, {input, bound}, "pointwise.scale");
}

TEST(PointwiseDevice, ScaleWorksInPlace) {
  const Array x = random_array({3, 45}, Dtype::bf16);
  const auto pass = [](const Pointwise& op) -> Pass {
    return [&op](Stream s, const std::vector<View>& v) { op.scale(s, -0.5, v[0], v[0]); };
  };
  expect_op_matches(kernels::pointwise_reference, &kernels::pointwise_cuda,
                    &kernels::pointwise_emulated, {x}, pass, {bound}, "pointwise.scale");
}

TEST(PointwiseDevice, ReadsAndWritesNothingTwice) {
  for (const Shape& shape : {Shape{2, 2, 5, 7, 64}, Shape{9, 45}, Shape{3, 2, 7, 9, 3}})
    for (Dtype type : {Dtype::f32, Dtype::bf16})
      for (const Named& pass : passes()) {
        const bool one = pass.name == "scale" || pass.name == "dropout" || pass.name == "relu" ||
                         pass.name == "sigmoid" || pass.name == "tanh";
        const int64_t bytes = shape.size() * size_of(type);
        expect_traffic(
            {random_array(shape, type, 1), random_array(shape, type, 2),
             random_array(shape, type, 3), step_of(11)},
            [&](Stream s, const std::vector<View>& v) {
              pass.run(kernels::pointwise_emulated, s, v);
            },
            {.read = bytes * ((one ? 1 : 2) + pass.accumulate), .written = bytes},
            "pointwise." + pass.name);
      }
}

/// The constant of the run's backend.
const PointwiseProbes& probes(const DeviceRun& run) {
  return device_of(run, &pointwise_probes_cuda, &pointwise_probes_emulated);
}

TEST(PointwiseDevice, PlacesAreRightBeyond2To32) {
  std::mt19937_64 source(4);
  View dense{.dtype = Dtype::bf16, .shape = {9, 80000, 70000, 8}, .strides = {}, .tail = 0};
  dense.strides = {int64_t(448) * 100000000, 560000, 8, 1};
  View gaps = dense;
  gaps.strides = {int64_t(1) << 42, 24 * 70001, 24, 1};
  View tails = gaps;
  tails.shape[3] = 5;
  tails.tail = 3;
  std::vector<PlaceAsked> in;
  std::vector<int64_t> wanted;
  while (in.size() < size_t(places_asked)) {
    const size_t kind = in.size() % 3;
    const View& v = kind == 0 ? dense : kind == 1 ? gaps : tails;
    const kernels::device::Walk walk({v, kind == 0 ? gaps : v}, 8);
    const auto row = int64_t(source() % (9ull * 80000 * 70000));
    in.push_back({walk, {walk, v}, row});
    const int64_t h = row / 70000 % 80000, w = row % 70000, n = row / 70000 / 80000;
    wanted.push_back(row * v.shape[3]);
    wanted.push_back(n * v.stride(0) + h * v.stride(1) + w * v.stride(2));
    wanted.push_back(1);
  }
  for (const DeviceRun& run : device_runs())
    EXPECT_EQ(probed<int64_t>(run, probes(run).places, in, wanted.size()), wanted) << run.name;
}

TEST(PointwiseDevice, MasksAreRightBeyond2To32) {
  const DropoutOptions o{.p = 0.4, .seed = 77};
  std::vector<MaskAsked> in;
  std::vector<uint32_t> wanted;
  for (int64_t i = 0; i < masks_asked; ++i) {
    // Around the counter's and the element's 2^32, and far beyond.
    const int64_t around[] = {int64_t(1) << 32, int64_t(1) << 34, int64_t(1) << 50, 32};
    const int64_t element = around[i % 4] - 20 + i / 4 % 40;
    in.push_back({kernels::device::pointwise::DropoutMask(o, 3), element});
    uint32_t bits = 0;
    for (int64_t k = 0; k < 8; ++k) {
      const auto words = kernels::philox(uint64_t(element + k) / 4, o.seed, 3);
      bits |= uint32_t(double(kernels::unit_float(words[size_t((element + k) % 4)])) >= o.p) << k;
    }
    wanted.push_back(bits);
  }
  for (const DeviceRun& run : device_runs())
    EXPECT_EQ(probed<uint32_t>(run, probes(run).masks, in, wanted.size()), wanted) << run.name;
}

/// Elements [first, first + 2000) of y = dropout(1) of `count` bf16 elements in the run's memory.
std::vector<kernels::bf16> dropped_out_ones(const DeviceRun& run, const DropoutOptions& o,
                                            int64_t count, int64_t first) {
  const std::shared_ptr<void> inside = run.enter();
  const bool gpu = run.backend == Backend::cuda;
  const auto tensor = [&](const std::shared_ptr<void>& memory) {
    View v{.data = memory.get(), .dtype = Dtype::bf16, .shape = {count}};
    v.strides[0] = 1;
    return v;
  };
  const std::shared_ptr<void> x(run.runtime->allocate(2 * count), run.runtime->release);
  const std::shared_ptr<void> y(run.runtime->allocate(2 * count), run.runtime->release);
  (gpu ? kernels::copy_cuda : kernels::copy_emulated).fill({}, tensor(x), 1);
  const std::shared_ptr<void> step(run.runtime->allocate(8), run.runtime->release);
  run.runtime->upload({}, step_of(6).view.data, step.get(), 8);
  const View at{.data = step.get(), .dtype = Dtype::i64, .shape = {1}, .strides = {1}};
  (gpu ? kernels::pointwise_cuda : kernels::pointwise_emulated)
      .dropout({}, o, at, tensor(x), tensor(y), false);
  std::vector<kernels::bf16> part(2000);
  run.runtime->download({}, static_cast<kernels::bf16*>(y.get()) + first, part.data(), 4000);
  return part;
}

// More than 2^32 elements on a GPU; fewer in emulation, which has not the time.
TEST(PointwiseDevice, DropsOutOfTensorsOfAnySize) {
  const DropoutOptions o{.p = 0.5, .seed = 4, .place = 5, .call = 7};
  for (const DeviceRun& run : device_runs()) {
    const bool gpu = run.backend == Backend::cuda;
    const int64_t count = gpu ? (int64_t(1) << 32) + 1003 : 5003, first = count - 2000;
    const uint64_t stream = kernels::stream_of_draw(o.call, 6, o.place);
    const std::vector<kernels::bf16> got = dropped_out_ones(run, o, count, first);
    for (int64_t i = 0; i < 2000; ++i) {
      const auto words = kernels::philox(uint64_t(first + i) / 4, o.seed, stream);
      const bool kept = kernels::unit_float(words[size_t((first + i) % 4)]) >= 0.5f;
      ASSERT_EQ(float(got[size_t(i)]), kept ? 2 : 0) << first + i << " on " << run.name;
    }
  }
}

}  // namespace
}  // namespace kinema::test
