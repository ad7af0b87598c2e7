#include "tests/pool3d_device_test.h"
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include "kernels/pool3d/pool3d.h"
#include "kernels/pool3d/pool3d_cases.h"
#include "tests/support/conformance.h"
#include "tests/support/device_check.h"
#include "tests/support/library_check.h"

namespace kinema::test {
namespace {

using kernels::Pool3d, kernels::Pool3dCase, kernels::Pool3dOptions, kernels::pool3d_output,
    kernels::pool3d_taps;

constexpr Layout layouts[] = {Layout::fresh, Layout::odd_slice, Layout::slice, Layout::strided};

std::vector<Pool3dCase> cases() {
  std::vector<Pool3dCase> all;
  for (const Pool3dCase& c : kernels::pool3d_cases)
    if (std::string(c.tag) == "ci") all.push_back(c);
  // More windows than the threads of a small GPU; gaps between windows and behind the last.
  all.push_back({"ci", {2, 9, 33, 34, 8}, {.kernel = {1, 1, 1}, .stride = {2, 1, 1}}});
  all.push_back({"ci", {1, 5, 8, 11, 9}, {.kernel = {2, 2, 3}, .stride = {3, 3, 4}}});
  return all;
}

void expect_pass(const std::vector<Array>& arrays, const std::function<Pass(const Pool3d&)>& pass,
                 const std::vector<double>& bounds, const std::string& what) {
  expect_op_matches(kernels::pool3d_reference, &kernels::pool3d_cuda, &kernels::pool3d_emulated,
                    arrays, pass, bounds, what);
}

/// Few values, so that many are equal; here and there NaN and -infinity.
Array with_ties(const Shape& shape, Dtype type, Layout layout) {
  std::vector<double> v = random_array(shape, Dtype::f32, 7, -3, 3).values();
  for (size_t i = 0; i < v.size(); ++i) {
    v[i] = std::round(v[i]);
    if (i % 23 == 5) v[i] = std::numeric_limits<double>::quiet_NaN();
    if (i % 7 == 0 || i % 61 < 9) v[i] = -std::numeric_limits<double>::infinity();
  }
  return filled_array(shape, type, v, layout);
}

/// The taps that the reference finds.
Array taps_of(const Pool3dCase& c, Layout layout) {
  const Shape out = pool3d_output(c.options, c.x);
  const auto found = on_host(
      {with_ties(c.x, Dtype::f32, Layout::fresh), {out, Dtype::f32}, {out, pool3d_taps(c.options)}},
      [&](Stream s, const std::vector<View>& v) {
        kernels::pool3d_reference.max_forward(s, c.options, v[0], v[1], v[2]);
      });
  return filled_array(out, pool3d_taps(c.options), found[2].values(), layout);
}

/// All terms are positive: a sum of n of them in f32, a reciprocal and a product err by n + 2
/// halves of epsilon; times 2.
double bound(const Pool3dCase& c) {
  const auto& k = c.options.kernel;
  return double(k[0] * k[1] * k[2] + 2) * epsilon_of(Dtype::f32);
}

TEST(Pool3dDevice, MaximumAndTapsAreTheReferences) {
  for (const Pool3dCase& c : cases())
    for (Dtype type : device_types)
      for (Layout layout : layouts) {
        const Shape out = pool3d_output(c.options, c.x);
        const Array x = with_ties(c.x, type, layout);
        const auto pass = [&](const Pool3d& op) -> Pass {
          return [&](Stream s, const std::vector<View>& v) {
            op.max_forward(s, c.options, v[0], v[1], v.size() > 2 ? v[2] : View{});
          };
        };
        expect_pass({x, {out, type, layout}, {out, pool3d_taps(c.options), layout}}, pass,
                    {input, 0, 0}, "pool3d.max_forward");
        expect_pass({x, {out, type}}, pass, {input, 0}, "pool3d.max_forward without taps");
      }
}

TEST(Pool3dDevice, AverageMatchesTheReference) {
  for (const Pool3dCase& c : cases())
    for (Dtype type : device_types)
      for (Layout layout : layouts)
        expect_pass(
            {random_array(c.x, type, 1, 0.5, 1.5, layout),
             {pool3d_output(c.options, c.x), type, layout}},
            [&](const Pool3d& op) -> Pass {
              return [&](Stream s, const std::vector<View>& v) {
                op.average_forward(s, c.options, v[0], v[1]);
              };
            },
            {input, bound(c)}, "pool3d.average_forward");
}

TEST(Pool3dDevice, GradientsMatchTheReference) {
  for (const Pool3dCase& c : cases())
    for (Dtype type : device_types)
      for (Layout layout : layouts)
        for (bool accumulate : {false, true}) {
          const Shape out = pool3d_output(c.options, c.x);
          const Array dy = random_array(out, type, 2, 0.5, 1.5, layout),
                      dx = accumulate ? random_array(c.x, type, 3, 0.5, 1.5, layout)
                                      : Array(c.x, type, layout);
          expect_pass(
              {dy, taps_of(c, layout), dx},
              [&](const Pool3d& op) -> Pass {
                return [&](Stream s, const std::vector<View>& v) {
                  op.max_grad(s, c.options, v[0], v[1], v[2], accumulate);
                };
              },
              {input, input, bound(c)}, "pool3d.max_grad");
          expect_pass(
              {dy, dx},
              [&](const Pool3d& op) -> Pass {
                return [&](Stream s, const std::vector<View>& v) {
                  op.average_grad(s, c.options, v[0], v[1], accumulate);
                };
              },
              {input, bound(c)}, "pool3d.average_grad");
        }
}

/// Its taps too, where no window holds a NaN or nothing but -infinity.
TEST(Pool3dDevice, CudnnAgreesWithTheReference) {
  const auto* library = &kernels::pool3d_cudnn;
  if (!has_library(library)) GTEST_SKIP() << "cudnn is not linked: gpu_tests runs it";
  int offered = 0, all = 0;
  const auto expect = [&](const std::vector<Array>& arrays, const std::vector<double>& bounds,
                          const std::string& what, const auto& call) {
    const auto pass = [&](const Pool3d& op) -> Pass {
      return [&](Stream s, const std::vector<View>& v) { call(op, s, v); };
    };
    ++all;
    offered +=
        expect_library_matches(kernels::pool3d_reference, library, arrays, pass, bounds, what);
  };
  using Views = std::vector<View>;
  for (const Pool3dCase& c : cases())
    for (Dtype type : device_types) {
      const Shape out = pool3d_output(c.options, c.x);
      const Array x = random_array(c.x, type, 1, 0.5, 1.5),
                  dy = random_array(out, type, 2, 0.5, 1.5),
                  dx = random_array(c.x, type, 3, 0.5, 1.5), y(out, type);
      const Array taps(out, pool3d_taps(c.options));
      expect({x, y, taps}, {input, 0, 0}, "pool3d.max_forward",
             [&](const Pool3d& op, Stream s, const Views& v) {
               op.max_forward(s, c.options, v[0], v[1], v[2]);
             });
      expect({x, y}, {input, bound(c)}, "pool3d.average_forward",
             [&](const Pool3d& op, Stream s, const Views& v) {
               op.average_forward(s, c.options, v[0], v[1]);
             });
      for (bool accumulate : {false, true}) {
        const double added = bound(c) + (accumulate && is_narrow(type) ? epsilon_of(type) : 0);
        expect({dy, taps_of(c, Layout::fresh), dx}, {input, input, added}, "pool3d.max_grad",
               [&](const Pool3d& op, Stream s, const Views& v) {
                 op.max_grad(s, c.options, v[0], v[1], v[2], accumulate);
               });
        expect({dy, dx}, {input, added}, "pool3d.average_grad",
               [&](const Pool3d& op, Stream s, const Views& v) {
                 op.average_grad(s, c.options, v[0], v[1], accumulate);
               });
      }
    }
  // Left out: frames whose rows are padded, and averages over windows beyond the padding.
  EXPECT_GE(offered, all * 2 / 3) << "of " << all;
}

TEST(Pool3dDevice, MovesNoMoreThanTheContractSays) {
  const Pool3d* const op = &kernels::pool3d_emulated;
  const auto moves = [&](const Pool3dCase& c, double reread) {
    const Shape out = pool3d_output(c.options, c.x);
    const Array x = random_array(c.x, Dtype::bf16), y = random_array(out, Dtype::bf16, 2),
                taps = taps_of(c, Layout::fresh);
    const auto bytes = [](const Array& a) { return int64_t(a.memory->size()); };
    const auto times = [&](int64_t n) { return int64_t(reread * double(n)); };
    expect_traffic(
        {x, y, taps},
        [&](Stream s, const std::vector<View>& v) {
          op->max_forward(s, c.options, v[0], v[1], v[2]);
        },
        {times(bytes(x)), bytes(y) + bytes(taps)}, "pool3d.max_forward");
    expect_traffic(
        {x, y},
        [&](Stream s, const std::vector<View>& v) {
          op->average_forward(s, c.options, v[0], v[1]);
        },
        {times(bytes(x)), bytes(y)}, "pool3d.average_forward");
    const double again = std::max(1.0, reread * double(bytes(x)) / double(bytes(y)));
    const double per_dy = reread > 1 ? again : 1;
    expect_traffic(
        {y, taps, x},
        [&](Stream s, const std::vector<View>& v) {
          op->max_grad(s, c.options, v[0], v[1], v[2], false);
        },
        {int64_t(per_dy * double(bytes(y) + bytes(taps))), bytes(x)}, "pool3d.max_grad");
    expect_traffic(
        {y, x},
        [&](Stream s, const std::vector<View>& v) {
          op->average_grad(s, c.options, v[0], v[1], true);
        },
        {int64_t(per_dy * double(bytes(y))) + bytes(x), bytes(x)}, "pool3d.average_grad");
  };
  moves({"ci", {2, 4, 8, 8, 24}, {.kernel = {2, 2, 2}}}, 1);
  // Windows hold each pixel 3/2 times along h and along w, but for those at the border.
  moves({"ci",
         {1, 2, 32, 32, 16},
         {.kernel = {1, 3, 3}, .stride = {1, 2, 2}, .pad_front = {0, 1, 1}, .pad_back = {0, 1, 1}}},
        9.0 / 4);
}

TEST(Pool3dDevice, PlacesAreFoundBeyond2To32) {
  constexpr int64_t count = 2000;
  std::mt19937_64 source(1);
  for (const Shape& shape : {Shape{3, 5000, 2000, 1000, 45}, Shape{3, 5, 7, 11, 45}}) {
    constexpr int lanes = 8;
    const int64_t packs = (shape[4] + lanes - 1) / lanes, total = shape.size() / shape[4] * packs;
    std::vector<int64_t> in(count);
    std::vector<int> wanted;
    for (int64_t& i : in) {
      i = int64_t(source() % uint64_t(total));
      int64_t rest = i / packs;
      int at[5] = {0, 0, 0, 0, int(i % packs * lanes)};
      for (int a = 3; a >= 0; --a) {
        at[a] = int(rest % shape[a]);
        rest /= shape[a];
      }
      wanted.insert(wanted.end(), at, at + 5);
    }
    for (const DeviceRun& run : device_runs()) {
      const Pool3dPlaces& places = device_of(run, &pool3d_places_cuda, &pool3d_places_emulated);
      Array from({count * 2}, Dtype::i32), to({count * 5}, Dtype::i32);
      std::memcpy(from.memory->data(), in.data(), in.size() * sizeof(int64_t));
      const auto got = on_device(run, {from, to}, [&](Stream s, const std::vector<View>& v) {
        places.find(s, shape, lanes, static_cast<const int64_t*>(v[0].data), count,
                    static_cast<int*>(v[1].data));
      });
      EXPECT_EQ(got[1].values(), std::vector<double>(wanted.begin(), wanted.end())) << run.name;
    }
  }
}

TEST(Pool3dDevice, RefusesWhatItCannotDo) {
  const Pool3d& op =
      *(&kernels::pool3d_emulated ? &kernels::pool3d_emulated : &kernels::pool3d_cuda);
  const Array a({1, 1, 2, 2, 1}, Dtype::f32);
  EXPECT_EQ(refusal_of([&] { op.max_grad({}, {}, a.view, {}, a.view, false); }),
            "pool3d: the gradient of the maximum needs the taps");
  View wide = a.view;
  wide.shape = {1, 1, 1, int64_t(1) << 30, 1};
  EXPECT_EQ(refusal_of([&] { op.average_forward({}, {}, wide, wide); }),
            "pool3d: a device takes axes and windows of less than 2^30, got 1 along x "
            "[1,1,1,1073741824,1]");
}

}  // namespace
}  // namespace kinema::test
