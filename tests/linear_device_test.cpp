#include "kernels/linear/linear.h"
#include "kernels/linear/linear_cases.h"
#include "tests/support/device_check.h"
#include "tests/support/library_check.h"
#include "tests/support/tf32.h"

namespace kinema::test {
namespace {

using kernels::Linear;

/// conv3d's: the products of narrow types are exact in f32, their sums stay within 1e-5 of the
/// largest.
constexpr double bound = 1e-5;

struct Layer {
  Layer(const Shape& size, Dtype type, Layout layout)  // rows, in, out
      : x(random_array({size[0], size[1]}, type, 1, -1, 1, layout)),
        w(random_array({size[2], size[1]}, type, 2, -1, 1)),
        b(random_array({size[2]}, Dtype::f32, 3)),
        dy(random_array({size[0], size[2]}, type, 4, -1, 1, layout)),
        y(dy.view.shape, type, layout),
        dx(x.view.shape, type, layout),
        dw(w.view.shape, Dtype::f32),
        db(b.view.shape, Dtype::f32) {}
  Array x, w, b, dy, y, dx, dw, db;
};

template <class F>
void expect_pass(const std::vector<Array>& arrays, const std::string& name, const F& call) {
  std::vector<double> bounds(arrays.size(), input);
  bounds.back() = bound;
  const auto pass = [&](const Linear& op) -> Pass {
    return [&](Stream s, const std::vector<View>& v) { call(op, s, v); };
  };
  expect_op_matches(kernels::linear_reference, &kernels::linear_cuda, &kernels::linear_emulated,
                    arrays, pass, bounds, name);
  // There the bias is rounded to the type of the activations.
  const Dtype type = arrays.front().view.dtype;
  bounds.back() += is_narrow(type) ? epsilon_of(type) : 0;
  const bool offered = expect_library_matches(kernels::linear_reference, &kernels::linear_cudnn,
                                              arrays, pass, bounds, name);
  // Rows that lie on no 16 bytes may be more than it takes.
  const bool aligned = arrays.front().view.stride(0) * size_of(type) % 16 == 0;
  EXPECT_TRUE(offered || !aligned || !has_library(&kernels::linear_cudnn)) << name;
}

void expect_layer(const Layer& l, bool relu) {
  expect_pass({l.x, l.w, l.b, l.y}, "linear.forward",
              [=](const Linear& op, Stream s, const std::vector<View>& v) {
                op.forward(s, {}, v[0], v[1], v[3], {.bias = relu ? v[2] : View{}, .relu = relu});
              });
  for (bool accumulate : {false, true}) {
    // Random sums to add to, else what must be overwritten.
    const auto held = [&](const Array& poisoned) {
      return accumulate ? random_array(poisoned.view.shape, poisoned.view.dtype, 5) : poisoned;
    };
    expect_pass({l.dy, l.w, held(l.dx)}, "linear.grad_input",
                [=](const Linear& op, Stream s, const std::vector<View>& v) {
                  op.grad_input(s, {}, v[0], v[1], v[2], accumulate);
                });
    expect_pass({l.x, l.dy, held(l.dw)}, "linear.grad_weight",
                [=](const Linear& op, Stream s, const std::vector<View>& v) {
                  op.grad_weight(s, {}, v[0], v[1], v[2], accumulate);
                });
    expect_pass({l.dy, held(l.db)}, "linear.grad_bias",
                [=](const Linear& op, Stream s, const std::vector<View>& v) {
                  op.grad_bias(s, v[0], v[1], accumulate);
                });
  }
}

TEST(LinearDevice, EveryPassAgreesWithTheReference) {
  for (const auto& c : kernels::linear_cases) {
    if (std::string(c.tag) != "ci" || (small() && c.rows * c.in * c.out > 20000)) continue;
    for (Dtype type : device_types)
      expect_layer(Layer({c.rows, c.in, c.out}, type, Layout::fresh), type == Dtype::f32);
  }
}

TEST(LinearDevice, TakesSlices) {
  for (Layout layout : {Layout::odd_slice, Layout::slice, Layout::strided})
    for (Dtype type : device_types) expect_layer(Layer({17, 24, 12}, type, layout), true);
}

/// With the option, f32 is what TF32 factors give in exact arithmetic, and without it is not.
TEST(LinearDevice, IsTf32OnlyWhereAsked) {
  const Layer l({40, 24, 36}, Dtype::f32, Layout::fresh);
  const auto product = [](const Linear& op, bool tf32, int pass) -> Pass {
    return [&op, tf32, pass](Stream s, const std::vector<View>& v) {
      if (pass == 0) op.forward(s, {tf32}, v[0], v[1], v[2], {});
      if (pass == 1) op.grad_input(s, {tf32}, v[0], v[1], v[2], false);
      if (pass == 2) op.grad_weight(s, {tf32}, v[0], v[1], v[2], false);
    };
  };
  const std::vector<Array> passes[] = {{l.x, l.w, l.y}, {l.dy, l.w, l.dx}, {l.x, l.dy, l.dw}};
  for (int pass = 0; pass < 3; ++pass) {
    const std::vector<Array>& a = passes[pass];
    const Pass exact = product(kernels::linear_reference, false, pass);
    const Array wanted = on_host(a, exact).back(),
                cut = on_host({rounded_to_tf32(a[0]), rounded_to_tf32(a[1]), a[2]}, exact).back();
    std::vector<std::pair<DeviceRun, const Linear*>> runs;
    for (const DeviceRun& run : device_runs())
      runs.emplace_back(
          run, run.backend == Backend::cuda ? &kernels::linear_cuda : &kernels::linear_emulated);
    if (has_library(&kernels::linear_cudnn))
      runs.emplace_back(device_runs().front(), &kernels::linear_cudnn);
    for (const auto& [run, backend] : runs) {
      const Linear& op = *backend;
      const Array with = on_device(run, a, product(op, true, pass)).back(),
                  without = on_device(run, a, product(op, false, pass)).back();
      EXPECT_LE(error(with, cut), bound) << run.name << " pass " << pass;
      EXPECT_GT(error(with, wanted), 10 * bound) << run.name << " pass " << pass;
      EXPECT_LE(error(without, wanted), bound) << run.name << " pass " << pass;
    }
  }
}

}  // namespace
}  // namespace kinema::test
