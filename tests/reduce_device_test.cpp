#include <cmath>
#include "kernels/reduce/reduce.h"
#include "kernels/reduce/reduce_cases.h"
#include "kernels/reduce/reduce_plan.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

using kernels::Reduce, kernels::ReduceCase, kernels::ReduceOptions;

/// All, but for large tensors, which would take long: those whose rows are packs, or are not.
std::vector<Layout> layouts(const ReduceCase& c) {
  if (c.x.size() > 20000) return {Layout::fresh, Layout::odd_slice};
  return {Layout::fresh, Layout::odd_slice, Layout::slice, Layout::strided};
}

std::vector<ReduceCase> cases() {
  std::vector<ReduceCase> all;
  for (const ReduceCase& c : kernels::reduce_cases)
    if (std::string(c.tag) == "ci") all.push_back(c);
  all.push_back({"ci", {1500, 21}, {0}});       // few sums of many terms: two steps
  all.push_back({"ci", {2, 4200, 5}, {1, 2}});  // likewise over rows
  all.push_back({"ci", {2, 300, 600}, {1}});    // several tiles of columns
  all.push_back({"ci", {900, 3, 16}, {1}});     // many sums of few terms
  all.push_back({"ci", {5000, 8}, {1}});
  return all;
}

ReduceOptions options(const ReduceCase& c, double scale) {
  ReduceOptions o{.scale = scale};
  for (int a : c.axes) o.axes[size_t(a)] = true;
  return o;
}

/// Every type of x with its own and with f32 for the sums.
template <class F>
void each_pair_of_types(F f) {
  for (Dtype type : device_types) {
    f(type, type);
    if (type != Dtype::f32) f(type, Dtype::f32);
  }
}

void expect_pass(const std::vector<Array>& arrays, const std::function<Pass(const Reduce&)>& pass,
                 const std::vector<double>& bounds, const std::string& what) {
  expect_op_matches(kernels::reduce_reference, &kernels::reduce_cuda, &kernels::reduce_emulated,
                    arrays, pass, bounds, what);
}

TEST(ReduceDevice, SumsAreTheReferencesRoundedOnce) {
  for (const ReduceCase& c : cases())
    each_pair_of_types([&](Dtype type, Dtype sums) {
      for (Layout layout : layouts(c))
        for (bool accumulate : {false, true}) {
          if (accumulate && c.x.size() > 20000) continue;
          const ReduceOptions o = options(c, 0.7);
          const Shape out = kernels::reduce_output(o, c.x);
          const Array y =
              accumulate ? random_array(out, sums, 2, -1, 1, layout) : Array(out, sums, layout);
          // In double throughout: the order of sums is all that differs.
          expect_pass(
              {random_array(c.x, type, 1, -1, 1, layout), y},
              [&](const Reduce& op) -> Pass {
                return [&, o](Stream s, const std::vector<View>& v) {
                  op.forward(s, o, v[0], v[1], accumulate);
                };
              },
              {input, epsilon_of(Dtype::f32)}, "reduce.forward");
        }
    });
}

TEST(ReduceDevice, BroadcastMatchesTheReference) {
  for (const ReduceCase& c : cases())
    each_pair_of_types([&](Dtype type, Dtype sums) {
      for (Layout layout : layouts(c))
        for (bool accumulate : {false, true}) {
          if (accumulate && c.x.size() > 20000) continue;
          const ReduceOptions o = options(c, 0.7);
          const Array dx =
              accumulate ? random_array(c.x, type, 2, -1, 1, layout) : Array(c.x, type, layout);
          // The factor, a product and a sum in f32, half an epsilon each; times 2.
          expect_pass(
              {random_array(kernels::reduce_output(o, c.x), sums, 1, -1, 1, layout), dx},
              [&](const Reduce& op) -> Pass {
                return [&, o](Stream s, const std::vector<View>& v) {
                  op.broadcast(s, o, v[0], v[1], accumulate);
                };
              },
              {input, 3 * epsilon_of(Dtype::f32)}, "reduce.broadcast");
        }
    });
}

TEST(ReduceDevice, SquaredNormIsInDouble) {
  for (const ReduceCase& c : cases())
    for (Dtype type : device_types)
      for (Layout layout : layouts(c)) {
        const Array x = random_array(c.x, type, 3, -1, 1, layout);
        // Up to 840000 positive terms in double, in other orders.
        for (bool accumulate : {false, true})
          expect_pass(
              {x, accumulate ? filled_array({1}, Dtype::f64, {3}) : Array({1}, Dtype::f64)},
              [=](const Reduce& op) -> Pass {
                return [=, &op](Stream s, const std::vector<View>& v) {
                  op.squared_norm(s, v[0], v[1], accumulate);
                };
              },
              {input, 1e-12}, "reduce.squared_norm");
      }
}

// Each row and each column holds 40 terms of 2^20, 40 of -2^20 and 20 of 2^-20, which f32 would
// lose.
TEST(ReduceDevice, LargeTermsThatCancelLeaveTheSmallOnes) {
  std::vector<double> values;
  for (int r = 0; r < 100; ++r)
    for (int c = 0; c < 100; ++c) {
      const int place = (37 * r + 11 * c) % 100;
      values.push_back(place < 40 ? 0x1p20 : place < 80 ? -0x1p20 : 0x1p-20);
    }
  const Array x = filled_array({100, 100}, Dtype::f32, values);
  for (const DeviceRun& run : device_runs())
    for (int axes = 1; axes < 4; ++axes) {
      const ReduceOptions o{.axes = {(axes & 1) > 0, (axes & 2) > 0}};
      const Shape out = kernels::reduce_output(o, x.view.shape);
      const auto got =
          on_device(run, {x, {out, Dtype::f32}}, [&](Stream s, const std::vector<View>& v) {
            const Reduce& op =
                run.backend == Backend::cuda ? kernels::reduce_cuda : kernels::reduce_emulated;
            op.forward(s, o, v[0], v[1], false);
          });
      for (double sum : got[1].values())
        EXPECT_EQ(sum, (axes == 3 ? 2000 : 20) * 0x1p-20) << run.name << out;
    }
}

TEST(ReduceDevice, MovesNoMoreThanTheContractSays) {
  const auto bytes = [](const Array& a) { return int64_t(a.memory->size()); };
  const auto moves = [&](const ReduceCase& c, int64_t parts) {
    const ReduceOptions o = options(c, 1);
    const Array x = random_array(c.x, Dtype::bf16),
                y = random_array(kernels::reduce_output(o, c.x), Dtype::bf16);
    expect_traffic(
        {x, y},
        [&](Stream s, const std::vector<View>& v) {
          kernels::reduce_emulated.forward(s, o, v[0], v[1], false);
        },
        {bytes(x) + parts, bytes(y) + parts}, "reduce.forward");
    // A dy for 16 packs of dx: a sixteenth of dx, or of one element of each pack.
    const int64_t dys = o.axes[size_t(c.x.rank - 1)] ? bytes(x) / 16 / 8 : bytes(x) / 16;
    expect_traffic(
        {y, x},
        [&](Stream s, const std::vector<View>& v) {
          kernels::reduce_emulated.broadcast(s, o, v[0], v[1], true);
        },
        {bytes(x) + dys, bytes(x)}, "reduce.broadcast");
  };
  moves({"", {4, 1024, 64}, {1}}, 0);
  moves({"", {512, 1024}, {1}}, 0);
  moves({"", {8192, 64}, {0}}, 8 * 64 * int64_t(sizeof(double)));  // 8 pieces
}

TEST(ReducePlan, FillsADeviceWithFewSums) {
  const kernels::ReduceGrain grain{.threads = 1 << 18, .lane_items = 4, .cut = true};
  const auto plan = [&](kernels::ReduceProblem p) { return kernels::ReducePlan(p, grain); };
  // Global pooling and bias gradient of [8,16,56,56,64] in bf16, a whole tensor, a sum over time.
  EXPECT_EQ(plan({8, 8, 50176, 16}).blocks(), 1024);
  EXPECT_GE(plan({1, 8, 401408, 16}).blocks(), 1000);
  EXPECT_GE(plan({1, 1, 3211264, 16}).blocks(), 1000);
  EXPECT_EQ(plan({25088, 8, 4, 16}).lanes, 1);
  // The last pooling of a ResNet: no second step.
  EXPECT_EQ(plan({32, 256, 196, 16}).pieces, 1);
  EXPECT_GE(plan({32, 256, 196, 16}).blocks(), 1000);
  // Past 2^32 items.
  const auto huge = plan({1, 1, int64_t(1) << 40, 16});
  EXPECT_GE(huge.items * huge.pieces, int64_t(1) << 40);
  EXPECT_EQ(huge.blocks(), 1024);
}

}  // namespace
}  // namespace kinema::test
