#include <cmath>
#include <limits>
#include "kernels/copy/copy.h"
#include "kernels/copy/copy_cases.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

using kernels::Copy;

const Layout layouts[] = {Layout::fresh, Layout::odd_slice, Layout::slice, Layout::strided};
const Dtype types[] = {Dtype::f32, Dtype::f64,  Dtype::u8, Dtype::i32,
                       Dtype::i64, Dtype::bf16, Dtype::f16};

bool sums(Dtype from, Dtype to) {
  return from == to || (from == Dtype::f32 && kernels::is_narrow(to));
}

/// Values that every type holds.
Array small_integers(const Shape& shape, Dtype type, uint64_t seed, Layout layout) {
  std::vector<double> values = random_array(shape, Dtype::f64, seed, 0, 100).values();
  for (double& v : values) v = std::floor(v);
  return filled_array(shape, type, values, layout);
}

/// A copy loses nothing that the reference keeps: bounds of 0, to which expect_op_matches adds one
/// unit in the last place of narrow types, whose sums round twice.
void expect_agreement(const Array& x, const Array& y, bool accumulate, const std::string& what) {
  const auto pass = [accumulate](const Copy& op) -> Pass {
    return [&op, accumulate](Stream s, const std::vector<View>& v) {
      op.forward(s, v[0], v[1], accumulate);
    };
  };
  expect_op_matches(kernels::copy_reference, &kernels::copy_cuda, &kernels::copy_emulated, {x, y},
                    pass, {input, 0}, "copy.forward " + what);
}

TEST(CopyDevice, MovesEveryElementAndZeroesTails) {
  for (const auto& c : kernels::copy_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (Dtype type : types)
      for (Layout from : layouts)
        for (Layout to : layouts) {
          if (from != to && from != Layout::fresh && to != Layout::fresh) continue;
          if (c.x.size() > 10000 && (small() || from != to || to != Layout::fresh)) continue;
          expect_agreement(small_integers(c.x, type, 1, from), Array(c.x, type, to), false,
                           name_of(type));
        }
  }
}

TEST(CopyDevice, CastsAnyTypeToAny) {
  for (const Shape& shape : {Shape{3, 45}, Shape{2, 2, 3, 4, 8}})
    for (Dtype from : types)
      for (Dtype to : types)
        for (Layout layout : layouts) {
          const std::string what = std::string(name_of(from)) + " to " + name_of(to);
          const Array x = small_integers(shape, from, 1, layout);
          expect_agreement(x, Array(shape, to, layout), false, what);
          if (sums(from, to))
            expect_agreement(x, small_integers(shape, to, 2, layout), true, what + " added");
        }
}

TEST(CopyDevice, RoundsToTheNearestAndTruncates) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> edges = {
      0.1,   -0.1,         1.0 / 3, -2.9,       65519,
      65520, 3.4e38,       1e-40,   1 + 0x1p-9, 1 + 0x1p-8,
      1e-8,  1 + 0x1.8p-8, 100.7,   -1e5,       1 + 0x1p-9 + 0x1p-40};
  std::vector<double> more = edges;
  more.insert(more.end(), {inf, -inf, double(NAN)});
  const auto shape = [](const std::vector<double>& v) { return Shape{int64_t(v.size())}; };
  for (Dtype from : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16})
    for (Dtype to : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16}) {
      // Bit for bit: narrow types get no allowance here.
      const Array x = filled_array(shape(more), from, more), y(shape(more), to);
      const auto pass = [](const Copy& op) -> Pass {
        return [&op](Stream s, const std::vector<View>& v) { op.forward(s, v[0], v[1], false); };
      };
      const Array wanted = on_host({x, y}, pass(kernels::copy_reference))[1];
      for (const DeviceRun& run : device_runs()) {
        const Copy& op = run.backend == Backend::cuda ? kernels::copy_cuda : kernels::copy_emulated;
        EXPECT_EQ(error(on_device(run, {x, y}, pass(op))[1], wanted), 0)
            << from << " to " << to << " on " << run.name;
      }
    }
  std::vector<double> finite = {0.9, 1.5, 2.999, 100.7, 200.2, 0, 127.5};
  for (Dtype from : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16})
    for (Dtype to : {Dtype::u8, Dtype::i32, Dtype::i64})
      expect_agreement(filled_array(shape(finite), from, finite), Array(shape(finite), to), false,
                       "truncated");
  const std::vector<double> wide = {-5e9, 5e9 + 1, -7, 70000, 256, -1};
  for (Dtype to : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16, Dtype::u8, Dtype::i32})
    expect_agreement(filled_array(shape(wide), Dtype::i64, wide), Array(shape(wide), to), false,
                     "from i64");
}

TEST(CopyDevice, AddsInF32) {
  const Shape shape{5, 67};
  for (Dtype to : device_types)
    for (Dtype from : {Dtype::f32, to})
      for (Layout layout : layouts)
        expect_agreement(random_array(shape, from, 1, -1, 1, layout),
                         random_array(shape, to, 2, -1, 1, layout), true, "added");
}

TEST(CopyDevice, FollowsPermutedAxes) {
  const Shape shape{2, 3, 5, 4, 8};
  for (Dtype type : {Dtype::u8, Dtype::bf16, Dtype::f32}) {
    // Time and height changed places, on one side or the other.
    const auto pass = [](bool first) {
      return [first](const Copy& op) -> Pass {
        return [&op, first](Stream s, const std::vector<View>& v) {
          View turned = v[first ? 0 : 1];
          std::swap(turned.shape[1], turned.shape[2]);
          std::swap(turned.strides[1], turned.strides[2]);
          op.forward(s, first ? turned : v[0], first ? v[1] : turned, false);
        };
      };
    };
    const Shape other{2, 5, 3, 4, 8};
    for (bool first : {true, false})
      expect_op_matches(kernels::copy_reference, &kernels::copy_cuda, &kernels::copy_emulated,
                        {small_integers(shape, type, 1, Layout::fresh), Array(other, type)},
                        pass(first), {input, 0}, "copy.forward");
  }
}

TEST(CopyDevice, FillsAndLeavesNeighboursAlone) {
  for (const auto& c : kernels::copy_cases) {
    if (std::string(c.tag) != "ci" || c.x.size() > 10000) continue;
    for (Dtype type : types)
      for (Layout layout : layouts) {
        const auto pass = [](const Copy& op) -> Pass {
          return [&op](Stream s, const std::vector<View>& v) { op.fill(s, v[0], 7.5); };
        };
        expect_op_matches(kernels::copy_reference, &kernels::copy_cuda, &kernels::copy_emulated,
                          {Array(c.x, type, layout)}, pass, {0}, "copy.fill");
      }
  }
}

TEST(CopyDevice, ReadsAndWritesNothingTwice) {
  const Shape shape{2, 3, 5, 7, 45};
  for (Dtype from : {Dtype::u8, Dtype::f32, Dtype::bf16})
    for (Dtype to : {Dtype::f32, Dtype::bf16, Dtype::i32})
      for (bool accumulate : {false, true}) {
        if (accumulate && !sums(from, to)) continue;
        const int64_t source = shape.size() * size_of(from), target = shape.size() * size_of(to);
        expect_traffic(
            {small_integers(shape, from, 1, Layout::fresh),
             small_integers(shape, to, 2, Layout::fresh)},
            [=](Stream s, const std::vector<View>& v) {
              kernels::copy_emulated.forward(s, v[0], v[1], accumulate);
            },
            {.read = source + (accumulate ? target : 0), .written = target},
            std::string("copy ") + name_of(from) + " to " + name_of(to));
      }
  expect_traffic(
      {Array(shape, Dtype::bf16)},
      [](Stream s, const std::vector<View>& v) { kernels::copy_emulated.fill(s, v[0], 1); },
      {.read = 0, .written = 2 * shape.size()}, "copy.fill");
}

TEST(CopyDevice, RefusesWhatDoesNotFit) {
  const Array x({2, 3}, Dtype::f32), y({2, 4}, Dtype::f32), z({2, 3}, Dtype::f64);
  for (const DeviceRun& run : device_runs()) {
    const Copy& op = run.backend == Backend::cuda ? kernels::copy_cuda : kernels::copy_emulated;
    EXPECT_EQ(refusal_of([&] { op.forward({}, x.view, y.view, false); }),
              "copy: y must be [2,3], got [2,4]");
    EXPECT_EQ(refusal_of([&] { op.forward({}, x.view, z.view, true); }),
              "copy: to accumulate, x and y must have one type, got f32 and f64");
  }
}

}  // namespace
}  // namespace kinema::test
