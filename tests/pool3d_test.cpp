#include "kernels/pool3d/pool3d.h"
#include <omp.h>
#include <algorithm>
#include <limits>
#include "engine/nn/pool3d.h"
#include "engine/ops/pool3d.h"
#include "engine/ops/views.h"
#include "kernels/pool3d/pool3d_cases.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

using kernels::pool3d_output, kernels::pool3d_taps;

const Backend both[] = {Backend::reference, Backend::cpu};
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

Function max_of(const Pool3dOptions& o) {
  return [=](const std::vector<Tensor>& in) { return max_pool3d(in[0], o); };
}
Function average_of(const Pool3dOptions& o) {
  return [=](const std::vector<Tensor>& in) { return average_pool3d(in[0], o); };
}

/// Values all different, in a random order, a gap of 0.1 apart: no step of a central difference
/// changes which is the largest.
Tensor distinct(const Shape& shape, Dtype dtype) {
  const Tensor noise = random(shape, 3), x = empty(shape, dtype);
  const std::vector<float> keys = to_vector<float>(noise);
  std::vector<size_t> order(keys.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return keys[a] < keys[b]; });
  std::vector<double> values(keys.size());
  for (size_t i = 0; i < order.size(); ++i) values[order[i]] = 0.1 * double(i);
  copy(from_vector<double>(shape, values), x);
  return x;
}

struct MaxRun {
  Tensor y, taps;
};
MaxRun run_max(Backend b, const Pool3dOptions& o, const Tensor& x) {
  const Shape out = pool3d_output(o, x.shape());
  MaxRun r{poisoned(out, x.dtype()), poisoned(out, pool3d_taps(o))};
  kernels::pool3d(b).max_forward({}, o, x.view(), r.y.view(), r.taps.view());
  return r;
}

TEST(Pool3d, CpuMatchesReference) {
  int64_t cases = 0;
  for (const auto& c : kernels::pool3d_cases) {
    if (std::string(c.tag) != "ci") continue;
    ++cases;
    // The maximum is one of its inputs: exact. Its gradient adds up to 343 windows, the average as
    // many inputs, in another order than the reference: two units in the last place a sum.
    const double bound = 16 * epsilon(Dtype::f32);
    for (Dtype type : activation_types) {
      const Tensor x = random(c.x, 1, type);
      EXPECT_TRUE(matches_reference(max_of(c.options), {x}, bound)) << c.x << type;
      EXPECT_TRUE(matches_reference(average_of(c.options), {x}, bound)) << c.x << type;
      const MaxRun want = run_max(Backend::reference, c.options, x),
                   got = run_max(Backend::cpu, c.options, x);
      EXPECT_EQ(floats(got.y), floats(want.y)) << c.x << type;
      EXPECT_EQ(error(got.taps, want.taps), 0) << c.x << type;
    }
  }
  EXPECT_GE(cases, 15);
}

TEST(Pool3d, GradientsAreRight) {
  for (const auto& c : kernels::pool3d_cases) {
    if (std::string(c.tag) != "ci" || c.x.size() > 2000) continue;
    const Tensor x = distinct(c.x, Dtype::f64);
    EXPECT_TRUE(gradient_is_right(max_of(c.options), {x})) << c.x;
    EXPECT_TRUE(gradient_is_right(average_of(c.options), {random(c.x, 1, Dtype::f64)})) << c.x;
  }
}

TEST(Pool3d, EveryPassOverwritesItsOutputAndZeroesTails) {
  for (const auto& c : kernels::pool3d_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (Backend b : both) {
      const auto& op = kernels::pool3d(b);
      const MaxRun r = run_max(b, c.options, random(c.x));
      EXPECT_TRUE(tail_is_zero(r.y) && tail_is_zero(r.taps)) << c.x << " on " << b;
      const Tensor average = poisoned(r.y.shape());
      op.average_forward({}, c.options, random(c.x).view(), average.view());
      const Tensor of_max = poisoned(c.x), of_average = poisoned(c.x);
      op.max_grad({}, c.options, r.y.view(), r.taps.view(), of_max.view(), false);
      op.average_grad({}, c.options, r.y.view(), of_average.view(), false);
      for (const Tensor& t : {average, of_max, of_average}) {
        EXPECT_TRUE(tail_is_zero(t)) << c.x << " on " << b;
        for (float v : to_vector<float>(t)) ASSERT_FALSE(std::isnan(v)) << c.x << " on " << b;
      }
    }
  }
}

// The figures are those of torch.nn.functional.avg_pool2d and max_pool2d for the same input.
TEST(Pool3d, FollowsPyTorchAtTheBorders) {
  const Tensor x = from_vector<float>({1, 1, 1, 6, 1}, {1, 2, 3, 4, 5, 6});
  Pool3dOptions o{.kernel = {1, 1, 3},
                  .stride = {1, 1, 4},
                  .pad_front = {0, 0, 1},
                  .pad_back = {0, 0, 1},
                  .ceil_mode = true};
  for (Backend b : both) {
    BackendScope scope(b);
    EXPECT_EQ(to_vector<float>(max_pool3d(x, o)), (std::vector<float>{2, 6}));
    o.count_padding = true;
    EXPECT_EQ(to_vector<float>(average_pool3d(x, o)), (std::vector<float>{1, 5}));
    o.count_padding = false;
    EXPECT_EQ(to_vector<float>(average_pool3d(x, o)), (std::vector<float>{1.5, 5}));
  }
  // A last window that reaches over the padding counts up to the padding's end only.
  Pool3dOptions over{.kernel = {1, 1, 4},
                     .stride = {1, 1, 3},
                     .pad_front = {0, 0, 1},
                     .pad_back = {0, 0, 1},
                     .ceil_mode = true};
  for (Backend b : both) {
    BackendScope scope(b);
    EXPECT_EQ(to_vector<float>(average_pool3d(x, over)), (std::vector<float>{1.5, 4.5, 3}));
  }
}

TEST(Pool3d, TheFirstMaximumWinsAndNanWinsOverAll) {
  const Tensor x = from_vector<float>({1, 1, 2, 4, 1}, {7, 7, 1, nan, 7, 3, nan, 2});
  for (Backend b : both) {
    const MaxRun r = run_max(b, {.kernel = {1, 2, 2}}, x);
    EXPECT_EQ(to_vector<uint8_t>(r.taps), (std::vector<uint8_t>{0, 2})) << b;
    EXPECT_EQ(to_vector<float>(r.y)[0], 7) << b;
    EXPECT_TRUE(std::isnan(to_vector<float>(r.y)[1])) << b;
  }
  const float low = -std::numeric_limits<float>::infinity();
  const Tensor floor = full({1, 1, 2, 2, 5}, low);
  for (Backend b : both) {
    const MaxRun r =
        run_max(b, {.kernel = {1, 2, 2}, .stride = {1, 1, 1}, .pad_front = {0, 1, 1}}, floor);
    EXPECT_EQ(to_vector<uint8_t>(r.taps)[0], 3) << b;  // padding never wins
    EXPECT_EQ(to_vector<float>(r.y)[0], low) << b;
  }
}

TEST(Pool3d, TakesChannelFrameAndTimeSlices) {
  const Pool3dOptions o{.kernel = {2, 3, 2}, .stride = {1, 2, 2}, .pad_front = {0, 1, 0}};
  for (Backend b : both)
    for (Dtype type : activation_types) {
      const Tensor x = random({2, 4, 5, 6, 7}, 1, type);
      const Shape out = pool3d_output(o, x.shape());
      BackendScope scope(b);
      const Slice from(x, 3, 2), max_to(out, 1, 4, type), average_to(out, 5, 3, type);
      max_pool3d(from.part, o, max_to.part);
      average_pool3d(from.part, o, average_to.part);
      EXPECT_TRUE(max_to.neighbours_untouched() && average_to.neighbours_untouched()) << b << type;
      EXPECT_EQ(error(max_to.part, max_pool3d(x, o)), 0) << b << type;
      EXPECT_EQ(error(average_to.part, average_pool3d(x, o)), 0) << b << type;

      const MaxRun r = run_max(b, o, x);
      const Tensor dy = random(out, 4, type), want_max = empty_like(x),
                   want_average = empty_like(x);
      const Slice dy_from(dy, 2, 2), dx_max(x.shape(), 6, 1, type),
          dx_average(x.shape(), 2, 3, type);
      const auto& op = kernels::pool3d(b);
      op.max_grad({}, o, dy.view(), r.taps.view(), want_max.view(), false);
      op.average_grad({}, o, dy.view(), want_average.view(), false);
      op.max_grad({}, o, dy_from.part.view(), r.taps.view(), dx_max.part.view(), false);
      op.average_grad({}, o, dy_from.part.view(), dx_average.part.view(), false);
      EXPECT_TRUE(dx_max.neighbours_untouched() && dx_average.neighbours_untouched()) << b << type;
      EXPECT_EQ(error(dx_max.part, want_max), 0) << b << type;
      EXPECT_EQ(error(dx_average.part, want_average), 0) << b << type;

      const Tensor odd = slice(slice(random({4, 9, 5, 6, 7}, 1, type), 1, 1, 4, 2), 0, 0, 2, 3);
      EXPECT_EQ(error(max_pool3d(odd, o), max_pool3d(contiguous(odd), o)), 0) << b << type;
    }
}

TEST(Pool3d, GradientsAccumulate) {
  const Pool3dOptions apart{.kernel = {1, 2, 2}, .stride = {2, 2, 3}},
      overlapping{.kernel = {2, 3, 3}, .stride = {1, 2, 2}};
  for (const auto& o : {apart, overlapping})
    for (Backend b : both) {
      const auto& op = kernels::pool3d(b);
      const Tensor x = random({2, 3, 5, 7, 6});
      const MaxRun r = run_max(b, o, x);
      for (bool max : {true, false}) {
        auto grad = [&](const Tensor& dx, bool accumulate) {
          if (max) return op.max_grad({}, o, r.y.view(), r.taps.view(), dx.view(), accumulate);
          op.average_grad({}, o, r.y.view(), dx.view(), accumulate);
        };
        const Tensor once = empty_like(x), sum = empty_like(x);
        grad(once, false);
        copy(x, sum);
        grad(sum, true);
        copy(x, once, true);
        // Four terms at most, added in another order.
        EXPECT_LE(error(sum, once), 8 * epsilon(Dtype::f32)) << b;
        EXPECT_TRUE(tail_is_zero(sum)) << b;
      }
    }
}

TEST(Pool3d, DoesNotDependOnTheNumberOfThreads) {
  const Pool3dOptions o{.kernel = {3, 3, 3}, .stride = {2, 1, 2}};
  const Tensor x = random({3, 7, 14, 14, 37});
  const int threads = omp_get_max_threads();
  Tensor y[2], dx[2];
  for (int run = 0; run < 2; ++run) {
    omp_set_num_threads(run ? 5 : 1);
    const Tensor leaf = parameter(x);
    y[run] = average_pool3d(max_pool3d(leaf, o), o);
    backward(y[run], full(y[run].shape(), 1));
    dx[run] = gradient(leaf);
  }
  omp_set_num_threads(threads);
  EXPECT_EQ(to_vector<float>(y[0]), to_vector<float>(y[1]));
  EXPECT_EQ(to_vector<float>(dx[0]), to_vector<float>(dx[1]));
}

TEST(Pool3d, KeepsOnlyTheTapsForTheBackwardPass) {
  const Tensor x = parameter(random({1, 2, 64, 64, 16}));
  const int64_t before = memory_use().live;
  Tensor y = max_pool3d(x, {.kernel = {1, 2, 2}});
  EXPECT_EQ(memory_use().live - before, y.storage->bytes() + y.size());
  Tensor mean = average_pool3d(x, {.kernel = {1, 2, 2}});
  EXPECT_EQ(memory_use().live - before, 2 * y.storage->bytes() + y.size());
  NoGrad off;
  Tensor z = max_pool3d(x, {.kernel = {1, 2, 2}});
  EXPECT_EQ(memory_use().live - before, 3 * y.storage->bytes() + y.size());
}

TEST(Pool3d, ModulesRunUnderTheirPathAndReportTheirWindow) {
  struct Watch : Observer {
    void saw(const char* op, const Tensor&, const std::vector<Tensor>&, const Work& w) override {
      seen += std::string(op) + " in " + current_path() + "; ";
      work = w;
    }
    std::string seen;
    Work work;
  };
  struct Net : nn::Module {
    nn::MaxPool3d max{this, "max", {.kernel = {1, 2, 2}}};
    nn::AveragePool3d average{this, "average", {.kernel = {2, 3, 3}, .stride = {1, 2, 2}}};
  } net;
  const DeviceScope meta(Device::meta);
  Watch watch;
  const Tensor y = net.max.forward(net.average.forward(empty({2, 4, 17, 17, 3})));
  EXPECT_EQ(y.shape(), (Shape{2, 3, 4, 4, 3}));
  EXPECT_EQ(watch.seen, "average_pool3d in average; max_pool3d in max; ");
  EXPECT_EQ(watch.work.window.size, (std::array<int64_t, 3>{1, 2, 2}));
  EXPECT_EQ(watch.work.window.stride, (std::array<int64_t, 3>{1, 2, 2}));
}

TEST(Pool3d, OutputSizesFollowPyTorch) {
  auto length = [](int64_t size, Pool3dOptions o) {
    return pool3d_output(o, {1, size, 1, 1, 1})[1];
  };
  EXPECT_EQ(length(7, {.kernel = {2, 1, 1}}), 3);
  EXPECT_EQ(length(7, {.kernel = {2, 1, 1}, .ceil_mode = true}), 4);
  // The window that would start in the back padding is left out.
  EXPECT_EQ(length(4, {.kernel = {3, 1, 1},
                       .stride = {4, 0, 0},
                       .pad_front = {0, 0, 0},
                       .pad_back = {1, 0, 0},
                       .ceil_mode = true}),
            1);
  EXPECT_EQ(length(1, {.kernel = {2, 1, 1}, .ceil_mode = true}), 1);
  EXPECT_EQ(length(0, {.kernel = {2, 1, 1}}), 0);
}

TEST(Pool3d, RefusesWhatDoesNotFit) {
  const Tensor x = random({1, 2, 3, 4, 5});
  auto text = [&](const Pool3dOptions& o) { return refusal([&] { max_pool3d(x, o); }); };
  EXPECT_EQ(refusal([&] {
              max_pool3d(random({2, 3}), {});
            }),
            "pool3d: x must be [N,T,H,W,C], got [2,3]");
  EXPECT_EQ(text({.kernel = {1, 0, 1}}), "pool3d: the kernel must be at least 1, got 0 along H");
  EXPECT_EQ(text({.stride = {1, 1, -1}}),
            "pool3d: the stride must not be negative, got -1 along W");
  EXPECT_EQ(text({.kernel = {2, 2, 2}, .pad_front = {0, 2, 0}}),
            "pool3d: padding must be from 0 to below the kernel of 2, got 2 and 0 along H");
  EXPECT_EQ(text({.kernel = {2, 2, 2}, .pad_back = {0, 0, 2}}),
            "pool3d: padding must be from 0 to below the kernel of 2, got 0 and 2 along W");
  EXPECT_EQ(text({.kernel = {3, 1, 1}}),
            "pool3d: the window spans 3 along T, but x [1,2,3,4,5] has only 2 with padding");
  EXPECT_EQ(text({.kernel = {1 << 20, 1 << 20, 1}, .pad_front = {(1 << 20) - 1, (1 << 20) - 1, 0}}),
            "pool3d: the window must hold fewer than 2^31 elements, got 1048576x1048576x1");
  EXPECT_EQ(refusal([&] {
              max_pool3d(x, {}, random({1, 2, 3, 4, 4}));
            }),
            "pool3d: y must be [1,2,3,4,5], got [1,2,3,4,4]");
  EXPECT_EQ(refusal([&] { average_pool3d(x, {}, random(x.shape(), 1, Dtype::f64)); }),
            "pool3d: x and y must have one type, got f32 and f64");
  EXPECT_EQ(refusal([&] {
              max_pool3d(empty({1, 1, 1, 1, 1}, Dtype::u8), {});
            }),
            "pool3d: expected a floating-point tensor, got u8");
  EXPECT_EQ(refusal([&] { max_pool3d(random(x.shape(), 1, Dtype::f64), {}); }),
            "pool3d: expected f32, bf16 or f16, got f64");
  const Tensor taps = empty(x.shape(), Dtype::i32);
  for (Backend b : both) {
    const auto& op = kernels::pool3d(b);
    EXPECT_EQ(refusal([&] { op.max_grad({}, {}, x.view(), taps.view(), x.view(), false); }),
              "pool3d: taps must be u8 [1,2,3,4,5], got i32 [1,2,3,4,5]");
    EXPECT_EQ(refusal([&] { op.max_grad({}, {}, x.view(), {}, x.view(), false); }),
              "pool3d: the gradient of the maximum needs the taps");
  }
}

}  // namespace
}  // namespace kinema::test
