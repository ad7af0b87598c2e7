#include <cmath>
#include <sstream>
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/batch_norm/batch_norm_cases.h"
#include "tests/support/device_check.h"
#include "tests/support/library_check.h"

namespace kinema::test {
namespace {

using kernels::BatchNorm, kernels::BatchNormTarget;

const double eps = epsilon_of(Dtype::f32);

/// Runs `f` with the contract of each run's backend, against the reference.
using Use = std::function<void(const BatchNorm&, Stream, const std::vector<View>&)>;
Pass pass_of(const BatchNorm& op, const Use& f) {
  return [&op, f](Stream s, const std::vector<View>& v) { f(op, s, v); };
}
void expect_pass(const std::vector<Array>& arrays, const Use& f, const std::vector<double>& bounds,
                 const std::string& what) {
  expect_op_matches(
      kernels::batch_norm_reference, &kernels::batch_norm_cuda, &kernels::batch_norm_emulated,
      arrays, [&f](const BatchNorm& op) { return pass_of(op, f); }, bounds, what);
}
const BatchNorm& op_of(const DeviceRun& run) {
  const BatchNorm* op =
      run.backend == Backend::cuda ? &kernels::batch_norm_cuda : &kernels::batch_norm_emulated;
  kernels::check(op, "batch_norm: not linked on ", run.name);
  return *op;
}

/// What f32 leaves of sums over rows: a thread adds up some dozens of products in f32, blocks are
/// merged in f64; 32 roundings, times 2. Two rows leave dx a difference of large numbers, next to
/// nothing, against which their roundings are measured.
double bound_of(const Shape& x) { return (x.size() == 2 * x[-1] ? 4096 : 64) * eps; }

/// These are there for their many blocks, not for every choice.
bool large(const Shape& s) { return s.size() > 8000; }

/// Cases of CI; the race detector, of which each access costs, gets those that are small.
std::vector<Shape> cases() {
  std::vector<Shape> shapes;
  for (const auto& c : kernels::batch_norm_cases)
    if (std::string(c.tag) == "ci" && !(small() && large(c.x))) shapes.push_back(c.x);
  return shapes;
}

std::string text(const std::string& what, const Shape& s, Dtype type) {
  std::ostringstream out;
  out << "batch_norm " << what << ' ' << s << ' ' << type;
  return out.str();
}

/// How the views of one call lie in memory: x and what else is read, then what is written.
struct Layouts {
  Layout read, written;
};
const Layouts fresh{Layout::fresh, Layout::fresh};
const Layouts all_layouts[] = {fresh,
                               {Layout::odd_slice, Layout::odd_slice},
                               {Layout::slice, Layout::slice},
                               {Layout::strided, Layout::strided},
                               {Layout::odd_slice, Layout::fresh},
                               {Layout::fresh, Layout::odd_slice}};

/// A number a channel.
Array number(const Shape& x, uint64_t seed, double low = -1, double high = 1) {
  return random_array({x[-1]}, Dtype::f32, seed, low, high);
}

struct Variant {
  bool training, relu, residual;
};
const Variant variants[] = {{true, true, true},   {false, true, false}, {true, false, false},
                            {false, false, true}, {true, true, false},  {true, false, true},
                            {false, true, true},  {false, false, false}};

/// A call of a pass, and by how much what it writes may err.
struct Call {
  std::vector<Array> arrays;
  Use use;
  std::vector<double> bounds;
  std::string what;
};
void expect(const Call& c) { expect_pass(c.arrays, c.use, c.bounds, c.what); }

Call forward_call(const Shape& shape, Dtype type, const Variant& v, const Layouts& l = fresh) {
  const Shape channels{shape[-1]};
  std::vector<Array> a{number(shape, 2, 0.5, 2),
                       number(shape, 3),
                       number(shape, 4),
                       number(shape, 5, 0.5, 2),
                       Array(channels, Dtype::f32),
                       Array(channels, Dtype::f32),
                       random_array(shape, type, 1, -1, 1, l.read),
                       Array(shape, type, l.written)};
  if (v.residual) a.push_back(random_array(shape, type, 6, -1, 1, l.read));
  const double bound = bound_of(shape), running = v.training ? bound : input;
  std::vector<double> bounds{input, input, running, running, bound, bound, input, bound};
  if (v.residual) bounds.push_back(input);
  const auto use = [v](const BatchNorm& op, Stream s, const std::vector<View>& t) {
    (v.training ? op.train_forward : op.infer_forward)(s, {}, t[6], {t[0], t[1], t[2], t[3]},
                                                       {v.residual ? t[8] : View{}, v.relu}, t[7],
                                                       {t[4], t[5]});
  };
  return {a, use, bounds, text(v.training ? "training" : "inference", shape, type)};
}
void expect_forward(const Shape& shape, Dtype type, const Variant& v, const Layouts& l = fresh) {
  expect(forward_call(shape, type, v, l));
}

enum class Mask { none, from_x, from_y };

/// Which gradients are wanted: bits 0 to 3 for dx, dgamma, dbeta and dresidual; and which of them
/// are added to.
struct Wanted {
  bool training;
  Mask mask;
  int targets, accumulated = 0;
};

Call grad_call(const Shape& shape, Dtype type, const Wanted& w, const Layouts& l = fresh) {
  std::vector<Array> a{number(shape, 2, 0.5, 2),
                       number(shape, 3),
                       number(shape, 4, -0.2, 0.2),
                       number(shape, 5, 0.5, 2),
                       random_array(shape, type, 1, -1, 1, l.read),
                       random_array(shape, type, 6, -1, 1, l.read)};
  if (w.mask == Mask::from_y) a.push_back(random_array(shape, type, 7, -1, 1, l.read));
  const size_t first = a.size();
  std::vector<double> bounds(first, input);
  for (int i = 0; i < 4; ++i) {
    if (!(w.targets >> i & 1)) continue;
    const bool activation = i == 0 || i == 3, filled = w.accumulated >> i & 1;
    const Shape of = activation ? shape : Shape{shape[-1]};
    const Dtype as = activation ? type : Dtype::f32;
    const Layout at = activation ? l.written : Layout::fresh;
    a.push_back(filled ? random_array(of, as, 8 + uint64_t(i), -1, 1, at) : Array(of, as, at));
    bounds.push_back(bound_of(shape));
  }
  const auto use = [w, first](const BatchNorm& op, Stream s, const std::vector<View>& t) {
    const View y = w.mask == Mask::from_y ? t[6] : View{};
    size_t next = first;
    BatchNormTarget to[4];
    for (int i = 0; i < 4; ++i)
      if (w.targets >> i & 1) to[i] = {t[next++], bool(w.accumulated >> i & 1)};
    (w.training ? op.train_grad : op.infer_grad)(
        s, {t[4], t[0], t[1], t[2], t[3], y, w.mask != Mask::none}, t[5],
        {to[0], to[1], to[2], to[3]});
  };
  return {a, use, bounds,
          text(w.training ? "train_grad" : "infer_grad", shape, type) + " targets " +
              std::to_string(w.targets) + " mask " + std::to_string(int(w.mask))};
}
void expect_grad(const Shape& shape, Dtype type, const Wanted& w, const Layouts& l = fresh) {
  expect(grad_call(shape, type, w, l));
}

TEST(BatchNormDevice, ForwardAgreesWithTheReference) {
  for (const Shape& shape : cases())
    for (Dtype type : device_types)
      for (const Variant& v : variants) {
        if (large(shape) && (type == Dtype::f16 || &v != variants)) continue;
        expect_forward(shape, type, v);
      }
}

TEST(BatchNormDevice, GradientsAgreeWithTheReference) {
  for (const Shape& shape : cases())
    for (Dtype type : device_types)
      for (Mask mask : {Mask::from_y, Mask::from_x, Mask::none})
        for (bool training : {true, false}) {
          if (large(shape) && (type == Dtype::f16 || mask != Mask::from_y || !training)) continue;
          expect_grad(shape, type, {training, mask, mask == Mask::from_x ? 7 : 15});
        }
}

TEST(BatchNormDevice, EveryChoiceOfTargets) {
  for (Dtype type : {Dtype::f32, Dtype::bf16})
    for (bool training : {true, false})
      for (Mask mask : {Mask::none, Mask::from_x, Mask::from_y})
        for (int targets = 0; targets < (mask == Mask::from_x ? 8 : 16); ++targets)
          for (int accumulated : {0, type == Dtype::f32 ? targets : targets & 5})
            expect_grad({2, 3, 3, 2, 12}, type, {training, mask, targets, accumulated});
}

TEST(BatchNormDevice, TakesAnyLayout) {
  for (const Shape& shape : {Shape{2, 3, 4, 2, 12}, Shape{2, 3, 2, 3, 45}, Shape{3, 2, 2, 2, 3}})
    for (Dtype type : device_types)
      for (const Layouts& l : all_layouts)
        for (bool training : {true, false}) {
          expect_forward(shape, type, {training, true, true}, l);
          expect_grad(shape, type, {training, Mask::from_y, 15}, l);
          expect_grad(shape, type, {training, Mask::from_x, 7, 1}, l);
        }
}

/// Running statistics too: two rows tell a variance divided by 1 from one divided by 2.
TEST(BatchNormDevice, CudnnAgreesWithTheReference) {
  const auto* library = &kernels::batch_norm_cudnn;
  if (!has_library(library)) GTEST_SKIP() << "cudnn is not linked: gpu_tests runs it";
  int offered = 0, all = 0;
  const auto expect_library = [&](Call c, double rounded) {
    // Sums run in f32 in an order of its own: 1e-5, as convolutions have.
    for (double& bound : c.bounds)
      if (bound != input) bound = std::max(bound, 1e-5) + rounded;
    const auto pass = [&](const BatchNorm& op) { return pass_of(op, c.use); };
    ++all;
    offered += expect_library_matches(kernels::batch_norm_reference, library, c.arrays, pass,
                                      c.bounds, c.what);
  };
  // Types go round: cuDNN compiles each plan.
  int turn = 0;
  for (const Shape& shape : cases()) {
    const Dtype type = device_types[turn++ % 3];
    for (const Variant& v : variants) expect_library(forward_call(shape, type, v), 0);
    for (Mask mask : {Mask::none, Mask::from_x, Mask::from_y})
      for (int targets : {15, 1, 6, 9})
        for (bool accumulate : {false, true}) {
          const int wanted = mask == Mask::from_x ? targets & 7 : targets;
          // What is added to dx is rounded before.
          const double rounded = accumulate && kernels::is_narrow(type) ? epsilon_of(type) : 0;
          expect_library(grad_call(shape, type, {true, mask, wanted, accumulate ? wanted : 0}),
                         rounded);
        }
  }
  // Left out: frames, and training with a residual and no ReLU.
  EXPECT_GE(offered, all * 3 / 4) << "of " << all;
}

TEST(BatchNormDevice, FewAndManyChannels) {
  std::vector<Shape> shapes{{1100, 3}, {6, 1100}, {700, 8}, {3, 0, 5}, {0, 7}};
  if (!small()) shapes.insert(shapes.end(), {{12000, 3}, {7000, 8}});
  for (const Shape& shape : shapes)
    for (Dtype type : {Dtype::f32, Dtype::f16})
      for (bool training : {true, false}) {
        if (training && shape[0] * shape[-2] < 2) continue;
        expect_forward(shape, type, {training, true, false});
        expect_grad(shape, type, {training, Mask::from_x, 7});
      }
}

TEST(BatchNormDevice, StatisticsAndOutputSurviveAMeanFarFromZero) {
  // 1e4 + [-sqrt 3, sqrt 3): variance 1, where sums of squares in f32 have lost all of it.
  const int64_t rows = small() ? 2000 : 30000, channels = 5;
  std::vector<double> values, mean(channels), var(channels);
  const Array noise =
      random_array({rows, channels}, Dtype::f32, 1, -std::sqrt(3.0), std::sqrt(3.0));
  for (double v : noise.values()) values.push_back(double(float(1e4 + v)));
  for (size_t i = 0; i < values.size(); ++i) mean[i % channels] += values[i] / double(rows);
  for (size_t i = 0; i < values.size(); ++i)
    var[i % channels] += std::pow(values[i] - mean[i % channels], 2) / double(rows);
  const Shape c{channels};
  std::vector<Array> a{filled_array({rows, channels}, Dtype::f32, values),
                       filled_array(c, Dtype::f32, std::vector<double>(channels, 1)),
                       filled_array(c, Dtype::f32, std::vector<double>(channels, 0)), number(c, 4),
                       number(c, 5)};
  for (int i = 0; i < 4; ++i) a.push_back(Array(c, Dtype::f32));
  a.push_back(Array({rows, channels}, Dtype::f32));
  for (const DeviceRun& run : device_runs()) {
    const std::vector<Array> got = on_device(
        run, a, pass_of(op_of(run), [](const BatchNorm& op, Stream s, const auto& t) {
          op.statistics(s, t[0], t[5], t[6]);
          op.train_forward(s, {.eps = 0}, t[0], {t[1], t[2], t[3], t[4]}, {}, t[9], {t[7], t[8]});
        }));
    const std::vector<double> m = got[5].values(), v = got[6].values(), y = got[9].values();
    for (size_t i = 0; i < size_t(channels); ++i) {
      // Rounded once to f32, of which half a unit at 1e4 is 4.9e-4.
      EXPECT_NEAR(m[i], mean[i], 4.9e-4) << run.name;
      EXPECT_NEAR(v[i], var[i], 1e-5) << run.name;
      EXPECT_EQ(got[7].values()[i], m[i]) << run.name;
      EXPECT_NEAR(got[8].values()[i], 1 / std::sqrt(var[i]), 1e-5) << run.name;
    }
    double worst = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double want = (values[i] - mean[i % channels]) / std::sqrt(var[i % channels]);
      worst = std::max(worst, std::abs(y[i] - want));
    }
    EXPECT_LT(worst, 1e-3) << run.name;
  }
}

TEST(BatchNormDevice, AFirstRowFarFromAllOthersCostsLittle) {
  // It is what means are taken relative to: 1e4 leaves values near 0 half of 2^-10.
  const int64_t rows = small() ? 1000 : 20000;
  std::vector<double> values = random_array({rows, 3}, Dtype::f32, 2).values();
  for (size_t i = 0; i < 3; ++i) values[i] = 1e4;
  expect_pass(
      {filled_array({rows, 3}, Dtype::f32, values), Array({3}, Dtype::f32), Array({3}, Dtype::f32)},
      [](const BatchNorm& op, Stream s, const std::vector<View>& t) {
        op.statistics(s, t[0], t[1], t[2]);
      },
      {input, 1e-3, 1e-5}, "batch_norm.statistics");
}

TEST(BatchNormDevice, BackwardSeesTheSameReluAsForward) {
  // x takes some 33 values, and beta is what cancels that of the first row: there the output is
  // what rounding leaves. Any other way to round would open or close some, and a count differ.
  // Counts are exact.
  const Shape shape = small() ? Shape{500, 19} : Shape{4000, 19};
  const Shape c{19};
  std::vector<Array> a{random_array(shape, Dtype::f32, 1, 999.999, 1000.001),
                       number(shape, 2, 0.5, 2),
                       number(shape, 3),
                       number(shape, 4),
                       number(shape, 5, 0.5, 2),
                       Array(c, Dtype::f32),
                       Array(c, Dtype::f32),
                       Array(shape, Dtype::f32),
                       filled_array(shape, Dtype::f32, std::vector<double>(shape.size(), 1)),
                       Array(c, Dtype::f32)};
  const auto use = [](const BatchNorm& op, Stream s, const std::vector<View>& t) {
    op.train_forward(s, {}, t[0], {t[1], t[2], t[3], t[4]}, {{}, true}, t[7], {t[5], t[6]});
    op.train_grad(s, {t[0], t[1], t[2], t[5], t[6], {}, true}, t[8], {{}, {}, {t[9]}, {}});
  };
  for (const DeviceRun& run : device_runs()) {
    const std::vector<Array> before = on_device(run, a, pass_of(op_of(run), use));
    const auto of = [&](size_t i, size_t k) { return float(before[i].values()[k]); };
    std::vector<double> beta, open(19, 0);
    for (size_t k = 0; k < 19; ++k)
      beta.push_back(double(-(of(0, k) - of(5, k)) * (of(1, k) * of(6, k))));
    a[2].set(beta);
    const std::vector<Array> got = on_device(run, a, pass_of(op_of(run), use));
    const std::vector<double> y = got[7].values();
    for (size_t i = 0; i < y.size(); ++i) open[i % 19] += y[i] > 0;
    EXPECT_EQ(got[9].values(), open) << run.name;
  }
}

TEST(BatchNormDevice, MovesNoMoreBytesThanTheContractSays) {
  for (const auto& [shape, type] :
       {std::pair<Shape, Dtype>{{16384, 12}, Dtype::f32}, {{16384, 24}, Dtype::bf16}}) {
    // Enough rows that what a block reads and writes once a channel does not count.
    const Shape c{shape[-1]};
    const int64_t once = shape.size() * size_of(type);
    std::vector<Array> a{number(shape, 2), number(shape, 3), number(shape, 4),
                         number(shape, 5, 0.5, 2)};
    for (uint64_t i = 0; i < 5; ++i) a.push_back(random_array(shape, type, i));
    for (int i = 0; i < 4; ++i) a.push_back(Array(c, Dtype::f32));
    const auto expect = [&](const std::string& what, int64_t reads, int64_t writes, const Use& f) {
      expect_traffic(a, pass_of(op_of(device_runs().front()), f), {reads * once, writes * once},
                     text(what, shape, type));
    };
    using Views = std::vector<View>;
    expect("train_forward", 3, 1, [](const BatchNorm& op, Stream s, const Views& t) {
      op.train_forward(s, {}, t[4], {t[0], t[1], t[2], t[3]}, {t[5], true}, t[6], {t[9], t[10]});
    });
    expect("infer_forward", 2, 1, [](const BatchNorm& op, Stream s, const Views& t) {
      op.infer_forward(s, {}, t[4], {t[0], t[1], t[2], t[3]}, {t[5], true}, t[6], {t[9], t[10]});
    });
    expect("train_grad", 4, 1, [](const BatchNorm& op, Stream s, const Views& t) {
      op.train_grad(s, {t[4], t[0], t[1], t[2], t[3], {}, true}, t[5],
                    {{t[6]}, {t[9]}, {t[10]}, {}});
    });
    expect("train_grad with a residual", 5, 2, [](const BatchNorm& op, Stream s, const Views& t) {
      op.train_grad(s, {t[4], t[0], t[1], t[2], t[3], t[7], true}, t[5],
                    {{t[6]}, {t[9]}, {t[10]}, {t[8]}});
    });
    expect("infer_grad", 3, 2, [](const BatchNorm& op, Stream s, const Views& t) {
      op.infer_grad(s, {t[4], t[0], t[1], t[2], t[3], t[7], true}, t[5],
                    {{t[6]}, {t[9]}, {t[10]}, {t[8]}});
    });
    expect("infer_grad of x", 1, 1, [](const BatchNorm& op, Stream s, const Views& t) {
      op.infer_grad(s, {t[4], t[0], t[1], t[2], t[3], {}, false}, t[5], {{t[6]}, {}, {}, {}});
    });
  }
}

}  // namespace
}  // namespace kinema::test
