#include "kernels/reduce/reduce.h"
#include <omp.h>
#include "engine/ops/reduce.h"
#include "engine/trace.h"
#include "kernels/reduce/reduce_cases.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

using kernels::ReduceOptions;

const Backend both[] = {Backend::reference, Backend::cpu};
// Sums run in double on both sides: what differs is the rounding of the result to f32.
const double bound = epsilon(Dtype::f32);

ReduceOptions options(const std::vector<int>& axes, double scale = 1) {
  ReduceOptions o;
  o.scale = scale;
  for (int a : axes) o.axes[size_t(a)] = true;
  return o;
}

double norm_of(Backend b, const Tensor& x) {
  const BackendScope scope(b);
  const Tensor sum = full({1}, std::nan(""), Dtype::f64);
  squared_norm(x, sum);
  return item(sum);
}

TEST(Reduce, AgreesWithTheReferenceOnEveryCase) {
  for (const auto& c : kernels::reduce_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (Dtype type : activation_types)
      for (Dtype sums : {type, Dtype::f32}) {
        const ReduceOptions o = options(c.axes, 0.25);
        const Tensor x = random(c.x, 1, type, 0, 1);
        const Shape narrow = kernels::reduce_output(o, c.x);
        Tensor y[2], dx[2];
        for (int i = 0; i < 2; ++i) {
          y[i] = poisoned(narrow, sums);
          kernels::reduce(both[i]).forward({}, o, x.view(), y[i].view(), false);
          kernels::reduce(both[i]).forward({}, o, x.view(), y[i].view(), true);
          dx[i] = poisoned(c.x, type);
          const Tensor dy = random(narrow, 2, sums);
          kernels::reduce(both[i]).broadcast({}, o, dy.view(), dx[i].view(), false);
          kernels::reduce(both[i]).broadcast({}, o, dy.view(), dx[i].view(), true);
          EXPECT_TRUE(tail_is_zero(y[i]) && tail_is_zero(dx[i])) << c.x << " on " << both[i];
        }
        // Rounded twice: what is added to, and the sum.
        EXPECT_LE(error(y[1], y[0]), bound + 2 * rounding(sums)) << c.x << type;
        EXPECT_LE(error(dx[1], dx[0]), bound + 2 * rounding(type)) << c.x << type;
        EXPECT_NEAR(norm_of(Backend::cpu, x), norm_of(Backend::reference, x),
                    1e-12 * double(c.x.size()))
            << c.x;
      }
  }
}

TEST(Reduce, SumsWhatItShould) {
  const Tensor x = from_vector<float>({2, 3}, {1, 2, 3, 10, 20, 30});
  for (Backend b : both) {
    BackendScope scope(b);
    EXPECT_EQ(to_vector<float>(sum(x, {0})), (std::vector<float>{11, 22, 33}));
    EXPECT_EQ(to_vector<float>(sum(x, {-1})), (std::vector<float>{6, 60}));
    EXPECT_EQ(to_vector<float>(mean(x, {0, 1})), (std::vector<float>{11}));
    EXPECT_EQ(to_vector<float>(mean(x, {})), to_vector<float>(x));
    EXPECT_EQ(norm_of(b, x), 1 + 4 + 9 + 100 + 400 + 900);
    EXPECT_EQ(norm_of(b, empty({0, 3})), 0);
    const Tensor sum_so_far = full({1}, 7, Dtype::f64);
    squared_norm(x, sum_so_far, true);
    squared_norm(empty({0, 3}), sum_so_far, true);
    EXPECT_EQ(item(sum_so_far), 7 + 1414);
    EXPECT_EQ(refusal([&] { squared_norm(x, full({1}, 0)); }),
              "squared_norm: y must be f64 [1], got f32 [1]");
    EXPECT_EQ(to_vector<float>(sum(empty({0, 2}), {0})), (std::vector<float>{0, 0}));
    EXPECT_TRUE(std::isnan(item(mean(empty({0, 1}), {0}))));
  }
}

TEST(Reduce, ReadsSlicesAndLeavesNeighboursAlone) {
  const ReduceOptions o = options({1, 3}, 0.5);
  for (Backend b : both)
    for (Dtype type : activation_types) {
      const Tensor x = random({2, 5, 4, 3, 5}, 1, type);
      const auto& op = kernels::reduce(b);
      const Slice from(x, 3, 2), to({2, 1, 4, 1, 5}, 1, 2, type), wide(x.shape(), 2, 3, type);
      Tensor want = empty({2, 1, 4, 1, 5}, type), want_wide = empty(x.shape(), type);
      op.forward({}, o, x.view(), want.view(), false);
      op.forward({}, o, from.part.view(), to.part.view(), false);
      EXPECT_EQ(floats(to.part), floats(want)) << b << type;
      op.broadcast({}, o, want.view(), want_wide.view(), false);
      op.broadcast({}, o, to.part.view(), wide.part.view(), false);
      EXPECT_EQ(floats(wide.part), floats(want_wide)) << b << type;
      EXPECT_TRUE(to.neighbours_untouched() && wide.neighbours_untouched()) << b << type;
      const Tensor frames{x.storage, x.view().slice(1, 1, 2, 3).slice(2, 1, 2), nullptr};
      const Tensor dense = empty(frames.shape(), type);
      copy(frames, dense);
      Tensor sums[2] = {empty({2, 1, 2, 1, 5}, type), empty({2, 1, 2, 1, 5}, type)};
      op.forward({}, o, frames.view(), sums[0].view(), false);
      op.forward({}, o, dense.view(), sums[1].view(), false);
      EXPECT_EQ(floats(sums[0]), floats(sums[1])) << b << type;
      EXPECT_EQ(norm_of(b, frames), norm_of(b, dense)) << b << type;
    }
}

TEST(Reduce, TheNumberOfThreadsChangesNoBit) {
  const Tensor x = random({2, 16, 56, 56, 24});
  std::vector<float> want;
  double norm = 0;
  const int threads = omp_get_max_threads();
  for (int n : {1, 2, 3}) {
    omp_set_num_threads(n);
    const std::vector<float> got = to_vector<float>(sum(x, {1, 2, 3}));
    if (n == 1) want = got, norm = norm_of(Backend::cpu, x);
    EXPECT_EQ(got, want);
    EXPECT_EQ(norm_of(Backend::cpu, x), norm);
  }
  omp_set_num_threads(threads);
}

TEST(Reduce, GradientsAreRight) {
  const Tensor x = random({2, 3, 2, 2, 5}, 1, Dtype::f64);
  auto pooled = [](const std::vector<Tensor>& in) { return global_average_pool(in[0]); };
  EXPECT_TRUE(gradient_is_right(pooled, {x}));
  for (const std::vector<int>& axes : {std::vector<int>{0, 4}, {1}, {0, 1, 2, 3, 4}, {}}) {
    auto summed = [&](const std::vector<Tensor>& in) { return sum(mean(in[0], axes), {2}); };
    EXPECT_TRUE(gradient_is_right(summed, {x}));
    EXPECT_TRUE(matches_reference(summed, {random(x.shape())}, 2 * bound));
  }
  EXPECT_TRUE(matches_reference(pooled, {random({2, 3, 4, 5, 45})}, bound));
}

TEST(Reduce, AGlobalPoolSeesEverything) {
  struct Saw : Observer {
    std::vector<std::array<int64_t, 3>> sizes;
    void saw(const char*, const Tensor&, const std::vector<Tensor>&, const Work& work) override {
      sizes.push_back(work.window.size);
    }
  } saw;
  const Tensor y = global_average_pool(empty({2, 3, 4, 5, 6}, Dtype::f32, Device::meta));
  EXPECT_EQ(y.shape(), (Shape{2, 6}));
  ASSERT_EQ(saw.sizes.size(), 2u);  // the mean, then its reshape
  EXPECT_EQ(saw.sizes[0], (std::array<int64_t, 3>{3, 4, 5}));
  EXPECT_EQ(saw.sizes[1], (std::array<int64_t, 3>{1, 1, 1}));
}

TEST(Reduce, RefusesWhatDoesNotFit) {
  const Tensor x = random({2, 3}), y = random({2, 1}), z = random({1, 3}, 1, Dtype::f64);
  for (Backend b : both) {
    EXPECT_EQ(
        refusal([&] { kernels::reduce(b).forward({}, options({0}), x.view(), y.view(), false); }),
        "reduce: y must be [1,3] for x [2,3], got [2,1]");
    EXPECT_EQ(
        refusal([&] { kernels::reduce(b).broadcast({}, options({0}), z.view(), x.view(), false); }),
        "reduce: x and y must have one type, got f32 and f64");
    EXPECT_EQ(
        refusal([&] { kernels::reduce(b).forward({}, options({2}), x.view(), y.view(), false); }),
        "reduce: axes must be below 2, got 2 for x [2,3]");
  }
  EXPECT_EQ(refusal([&] { mean(x, {2}); }), "mean: axes must be in [-2,2), got 2 for x [2,3]");
  EXPECT_EQ(refusal([&] { sum(x, {1, -1}); }), "sum: axis -1 is named twice");
  EXPECT_EQ(refusal([&] { global_average_pool(x); }),
            "global_average_pool: x must be [N,T,H,W,C], got [2,3]");
}

}  // namespace
}  // namespace kinema::test
