#include "kernels/linear/linear.h"
#include "engine/nn/linear.h"
#include "engine/ops/linear.h"
#include "engine/ops/views.h"
#include "engine/trace.h"
#include "kernels/linear/linear_cases.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

const Backend both[] = {Backend::reference, Backend::cpu};

/// A sum of n products in f32, rounded n times, strays like a random walk from the exact one, whose
/// size grows as sqrt(n) too; 2 more for the bias and the rounding of the result.
double bound(int64_t n) { return epsilon(Dtype::f32) * (2 + std::sqrt(double(n))); }

TEST(Linear, EveryPassAgreesWithTheReference) {
  for (const auto& c : kernels::linear_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (Dtype type : activation_types)
      for (bool again : {false, true}) {
        const Tensor x = random({c.rows, c.in}, 1, type), w = random({c.out, c.in}, 2, type),
                     b = random({c.out}, 3), dy = random({c.rows, c.out}, 4, type);
        Tensor y[2], dx[2], dw[2], db[2];
        for (int i = 0; i < 2; ++i) {
          const auto& op = kernels::linear(both[i]);
          y[i] = poisoned(dy.shape(), type);
          op.forward({}, {}, x.view(), w.view(), y[i].view(), {.bias = b.view(), .relu = again});
          dx[i] = poisoned(x.shape(), type), dw[i] = poisoned(w.shape()),
          db[i] = poisoned(b.shape());
          for (bool accumulate :
               again ? std::vector<bool>{false, true} : std::vector<bool>{false}) {
            op.grad_input({}, {}, dy.view(), w.view(), dx[i].view(), accumulate);
            op.grad_weight({}, {}, x.view(), dy.view(), dw[i].view(), accumulate);
            op.grad_bias({}, dy.view(), db[i].view(), accumulate);
          }
          for (const Tensor& t : {y[i], dx[i], dw[i], db[i]})
            EXPECT_TRUE(tail_is_zero(t)) << both[i];
        }
        // The gradient that is added to was rounded too.
        EXPECT_LE(error(y[1], y[0]), bound(c.in) + rounding(type)) << x.shape() << w.shape();
        EXPECT_LE(error(dx[1], dx[0]), bound(c.out) + 2 * rounding(type)) << x.shape() << w.shape();
        EXPECT_LE(error(dw[1], dw[0]), bound(c.rows)) << x.shape() << w.shape();
        EXPECT_LE(error(db[1], db[0]), bound(1)) << x.shape() << w.shape();
      }
  }
}

TEST(Linear, ComputesWhatItShould) {
  const Tensor x = from_vector<float>({2, 3}, {1, 2, 3, -1, 0, 1});
  const Tensor w = from_vector<float>({2, 3}, {1, 1, 1, 2, 0, -2});
  const Tensor b = from_vector<float>({2}, {0.5, -1});
  for (Backend backend : both) {
    BackendScope scope(backend);
    EXPECT_EQ(to_vector<float>(linear(x, w)), (std::vector<float>{6, -4, 0, -4}));
    EXPECT_EQ(to_vector<float>(linear(x, w, b)), (std::vector<float>{6.5, -5, 0.5, -5}));
    EXPECT_EQ(to_vector<float>(linear(x, w, b, true)), (std::vector<float>{6.5, 0, 0.5, 0}));
  }
}

TEST(Linear, ReadsSlicesAndLeavesNeighboursAlone) {
  for (Backend backend : both)
    for (Dtype type : activation_types) {
      const Tensor x = random({6, 7}, 1, type), w = random({5, 7}, 2, type), b = random({5}, 3);
      const auto& op = kernels::linear(backend);
      const Slice from(x, 2, 3), weights(w, 1, 1), to({6, 5}, 3, 2, type), dx({6, 7}, 1, 2, type),
          dw({5, 7}, 2, 2), db({5}, 1, 1);
      const kernels::LinearEpilogue e{.bias = b.view(), .relu = true};
      Tensor y = empty({6, 5}, type), want_dx = empty({6, 7}, type), want_dw = empty({5, 7}),
             want_db = empty({5});
      op.forward({}, {}, x.view(), w.view(), y.view(), e);
      op.grad_input({}, {}, y.view(), w.view(), want_dx.view(), false);
      op.grad_weight({}, {}, x.view(), y.view(), want_dw.view(), false);
      op.grad_bias({}, y.view(), want_db.view(), false);
      op.forward({}, {}, from.part.view(), weights.part.view(), to.part.view(), e);
      op.grad_input({}, {}, to.part.view(), weights.part.view(), dx.part.view(), false);
      op.grad_weight({}, {}, from.part.view(), to.part.view(), dw.part.view(), false);
      op.grad_bias({}, to.part.view(), db.part.view(), false);
      // sgemm may take another path for another pitch: as exact, not the same bits.
      EXPECT_LE(error(to.part, y), bound(7) + rounding(type)) << backend;
      // The gradients are those of to.part, not of y, which it may differ from by that rounding.
      EXPECT_LE(error(dx.part, want_dx), bound(5) + 2 * rounding(type)) << backend;
      EXPECT_LE(error(dw.part, want_dw), bound(6) + rounding(type)) << backend;
      EXPECT_LE(error(db.part, want_db), bound(1) + rounding(type)) << backend;
      for (const Slice* s : {&to, &dx, &dw, &db}) EXPECT_TRUE(s->neighbours_untouched()) << backend;
      // Every second row, and one row whose stride is the whole tensor's.
      for (const View& rows : {x.view().slice(0, 1, 3, 2), x.view().slice(0, 4, 1)}) {
        const Tensor part{x.storage, rows, nullptr}, dense = empty(rows.shape, type);
        copy(part, dense);
        Tensor got = empty({rows.shape[0], 5}, type), want = empty({rows.shape[0], 5}, type);
        op.forward({}, {}, rows, w.view(), got.view(), e);
        op.forward({}, {}, dense.view(), w.view(), want.view(), e);
        EXPECT_LE(error(got, want), bound(7) + rounding(type)) << backend;
      }
    }
}

/// Weights whose copy in f32 is too large for all of them at once.
TEST(Linear, NarrowTypesTakeWeightsInParts) {
  const Tensor x = random({3, 4096}, 1, Dtype::bf16), w = random({1300, 4096}, 2, Dtype::bf16);
  auto f = [](const std::vector<Tensor>& in) {
    return linear(in[0], stand_in(cast(in[1].detach(), Dtype::bf16), in[1]), in[2]);
  };
  EXPECT_TRUE(matches_reference(f, {x, cast(w, Dtype::f32), random({1300}, 3)}, bound(4096)));
}

TEST(Linear, GradientsAreRight) {
  const Tensor x = random({3, 4, 5}, 1, Dtype::f64), w = random({7, 5}, 2, Dtype::f64),
               b = random({7}, 3, Dtype::f64);
  for (bool relu : {false, true}) {
    auto f = [=](const std::vector<Tensor>& in) { return linear(in[0], in[1], in[2], relu); };
    EXPECT_TRUE(gradient_is_right(f, {x, w, b}));
    EXPECT_TRUE(
        matches_reference(f, {random({2, 3, 4, 5, 45}), random({3, 45}), random({3})}, bound(120)));
    EXPECT_TRUE(matches_reference(f, {random({4, 1, 1, 1, 45}), random({12, 45}), random({12})},
                                  bound(45)));
  }
  auto no_bias = [](const std::vector<Tensor>& in) { return linear(in[0], in[1]); };
  EXPECT_TRUE(gradient_is_right(no_bias, {reshape(x, {12, 5}), w}));
}

TEST(Linear, TheModuleKnowsItsParametersAndWork) {
  struct Saw : Observer {
    int64_t macs = 0;
    void saw(const char*, const Tensor&, const std::vector<Tensor>&, const Work& work) override {
      macs += work.macs;
    }
  };
  nn::Linear plain(nullptr, "", 24, 12), he(nullptr, "", {.in = 24, .out = 600, .relu = true});
  const nn::Linear bare(nullptr, "", 24, 12, false);
  EXPECT_EQ(bare.parameters().size(), 1u);
  ASSERT_EQ(plain.parameters().size(), 2u);
  EXPECT_EQ(plain.parameters()[0].name, "weight");
  EXPECT_EQ(plain.parameters()[1].name, "bias");
  plain.initialise(1), he.initialise(1);
  double largest = 0, variance = 0;
  for (float v : to_vector<float>(plain.weight)) largest = std::max(largest, std::abs(double(v)));
  for (float v : to_vector<float>(he.weight)) variance += double(v) * double(v) / (24 * 600);
  EXPECT_LE(largest, std::sqrt(6. / 36));
  EXPECT_GT(largest, 0.9 * std::sqrt(6. / 36));
  EXPECT_NEAR(variance, 2. / 24, 0.05 * 2 / 24);  // four deviations of 14400 draws
  const Saw saw;
  const Tensor y = he.forward(random({2, 5, 24}));
  EXPECT_EQ(y.shape(), (Shape{2, 5, 600}));
  EXPECT_EQ(saw.macs, 2 * 5 * 24 * 600);
  const Tensor shape_only = he.forward(empty({2, 5, 24}, Dtype::f32, Device::meta));
  EXPECT_EQ(shape_only.shape(), (Shape{2, 5, 600}));
  EXPECT_EQ(saw.macs, 2 * 2 * 5 * 24 * 600);
}

TEST(Linear, RefusesWhatDoesNotFit) {
  const Tensor x = random({2, 3}), w = random({4, 3}), b = random({3});
  EXPECT_EQ(refusal([&] {
              linear(x, random({4, 5}));
            }),
            "linear: w must take 3 inputs, got w [4,5] for x [2,3]");
  EXPECT_EQ(refusal([&] {
              linear(random({2, 2, 3}), random({4, 5}));
            }),
            "linear: w must be [out,3], got [4,5] for x [2,2,3]");
  EXPECT_EQ(refusal([&] { linear(b, w); }),
            "linear: x must be [...,in] with at least two axes, got [3]");
  EXPECT_EQ(refusal([&] { linear(x, b); }), "linear: w must be [out,in], got [3]");
  EXPECT_EQ(refusal([&] { linear(x, w, b); }), "linear: the bias must be f32 [4], got f32 [3]");
  EXPECT_EQ(refusal([&] {
              linear(x, random({4, 3}, 1, Dtype::f64));
            }),
            "linear: x, w and y must have one type, got f32, f64 and f32");
  for (Backend backend : both) {
    const auto& op = kernels::linear(backend);
    EXPECT_EQ(refusal([&] { op.grad_input({}, {}, x.view(), w.view(), x.view(), false); }),
              "linear: y must be [2,4], got [2,3]");
    EXPECT_EQ(refusal([&] { op.grad_weight({}, {}, x.view(), x.view(), w.view(), false); }),
              "linear: y must be [2,4], got [2,3]");
    EXPECT_EQ(refusal([&] { op.grad_bias({}, w.view(), random({2}).view(), false); }),
              "linear: db must be f32 [3], got f32 [2]");
  }
}

}  // namespace
}  // namespace kinema::test
