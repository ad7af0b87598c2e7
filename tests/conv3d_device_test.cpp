#include <cmath>
#include "tests/support/conv3d_sample.h"
#include "tests/support/device_conv3d_tiles.h"

// The contract on a device by whatever kernels the plan chooses: its cases, numbers that are no
// numbers, statistics that cancel, refusals. Each kernel has tests of its own beside these.

namespace kinema::test {
namespace {

using kernels::Conv3dOptions, kernels::Conv3dPass;

constexpr Conv3dPass passes[] = {Conv3dPass::forward, Conv3dPass::grad_input,
                                 Conv3dPass::grad_weight};
const Conv3dOptions same{.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}};

/// Each case in each type and pass; the runs of the device go round, with and without epilogue.
TEST(Conv3dDevice, Cases) {
  const std::vector<DeviceRun>& runs = device_runs();
  size_t next = 0;
  for (const auto& c : kernels::conv3d_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (Dtype type : device_types)
      for (Conv3dPass pass : passes) {
        ConvolutionRun r = run_of(c, type);
        r.runs = {runs[next++ % runs.size()]};
        expect_pass(pass, r, next / 3 % 2);
      }
  }
}

struct Layer {
  const char* what;
  Shape x, w;
  Conv3dOptions options;
  Shape y() const { return kernels::conv3d_output(options, x, w); }
};
const Layer layers[] = {
    {"dense", {2, 2, 9, 9, 16}, {20, 3, 3, 3, 16}, same},
    {"1x1x1", {2, 3, 7, 9, 24}, {40, 1, 1, 1, 24}, {}},
    {"stem", {2, 3, 14, 14, 3}, {16, 3, 3, 3, 3}, same},
    {"depthwise",
     {2, 3, 9, 8, 20},
     {20, 3, 3, 3, 1},
     {.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}, .groups = 20}},
    {"groups",
     {2, 3, 9, 8, 32},
     {32, 3, 3, 3, 4},
     {.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}, .groups = 8}},
};

/// f for each layer and type on the first run of the device.
template <class F>
void each_layer(const F& f) {
  for (const Layer& layer : layers)
    for (Dtype type : device_types) {
      SCOPED_TRACE(std::string(layer.what) + " in " + name_of(type));
      f(layer, type, device_runs().front());
    }
}

/// With a mean a hundred times the deviation, a sum of squares less the squared mean would have
/// lost M2 in f32.
TEST(Conv3dDevice, StatisticsFarFromZero) {
  each_layer([](const Layer& layer, Dtype type, const DeviceRun& run) {
    const int64_t k = layer.w[0];
    const Array x = random_array(layer.x, type, 1), w = random_array(layer.w, type, 2),
                y(layer.y(), type);
    const Array bias = filled_array({k}, Dtype::f32, std::vector<double>(size_t(k), 300));
    const std::shared_ptr<void> inside = run.enter();
    const int64_t tiles =
        conv3d_here().tiles(Conv3dPass::forward, layer.options, x.view, w.view, y.view);
    const std::vector<Array> after =
        on_device(run, {x, w, bias, y, Array({tiles, 3, k}, Dtype::f32)},
                  [&](Stream s, const std::vector<View>& v) {
                    conv3d_here().forward(s, layer.options, v[0], v[1], v[3],
                                          {.bias = v[2], .partials = v[4]});
                  });
    expect_statistics(after[4], after[3], layer.what);
  });
}

Array with_such_that_are_none(const Array& a) {
  Array copy = a.clone();
  std::vector<double> values = a.values();
  values[values.size() / 2] = std::nan("");
  values[values.size() / 5] = INFINITY;
  values[1] = -INFINITY;
  copy.set(values);
  return copy;
}

/// What reads a NaN or an infinity of x (of dy, for dx) is what the reference makes of it, and
/// nothing else is touched. Of dy this does not hold for dw: there padding is a factor 0.
/// But for narrow types in groups, where they meet the zeros between the groups of a pack of 8
/// channels and reach all of it: conv3d_depthwise_device_test holds them to the pack.
TEST(Conv3dDevice, NotFiniteNumbersGoWhereTheReferenceLetsThem) {
  each_layer([](const Layer& layer, Dtype type, const DeviceRun& run) {
    if (layer.options.groups > 1 && kernels::is_narrow(type)) return;
    const Array x = with_such_that_are_none(random_array(layer.x, type, 1)),
                w = random_array(layer.w, type, 2), dy = random_array(layer.y(), type, 3);
    const auto all = [&](const kernels::Conv3d& op) -> Pass {
      return [&](Stream s, const std::vector<View>& v) {
        op.forward(s, layer.options, v[0], v[1], v[4], {.relu = true});
        op.grad_input(s, layer.options, v[3], v[1], v[5], {.mask = v[0]});
        op.grad_weight(s, layer.options, v[0], v[2], v[6], false);
      };
    };
    const double bound = 1e-5;  // the design's for f32
    expect_matches({x, w, dy, with_such_that_are_none(dy), Array(layer.y(), type),
                    Array(layer.x, type), Array(layer.w, Dtype::f32)},
                   all(kernels::conv3d_reference),
                   [&](const DeviceRun&) { return all(conv3d_here()); },
                   {input, input, input, input, bound, bound, bound}, layer.what, {run});
  });
}

TEST(Conv3dDevice, RefusesWhatDoesNotFit) {
  const Layer& layer = layers[0];
  const DeviceRun& run = device_runs().front();
  const std::shared_ptr<void> inside = run.enter();
  const Array x(layer.x, Dtype::f32), w(layer.w, Dtype::f32), y(layer.y(), Dtype::f32),
      half(layer.x, Dtype::bf16), vector({layer.x[4]}, Dtype::f32);
  const kernels::Conv3d& op = conv3d_here();
  const int64_t tiles = op.tiles(Conv3dPass::forward, layer.options, x.view, w.view, y.view);
  const Array more({tiles + 1, 3, layer.w[0]}, Dtype::f32);
  EXPECT_EQ(refusal_of([&] {
              op.forward({}, layer.options, x.view, w.view, y.view, {.partials = more.view});
            }),
            "conv3d: partials and sums need an entry for each of " + std::to_string(tiles) +
                " tiles, got [" + std::to_string(tiles + 1) + ",3,20]");
  EXPECT_EQ(refusal_of([&] { op.forward({}, layer.options, half.view, w.view, y.view, {}); }),
            "conv3d: x, w and y must have one type, got bf16, f32 and f32");
  EXPECT_EQ(refusal_of([&] {
              op.grad_input({}, layer.options, y.view, w.view, x.view, {.mask = half.view});
            }),
            "conv3d: mask and z must be f32 [2,2,9,9,16], got bf16 [2,2,9,9,16]");
  const Array dw(layer.w, Dtype::bf16);
  EXPECT_EQ(refusal_of([&] { op.grad_weight({}, layer.options, x.view, y.view, dw.view, false); }),
            "conv3d: dw must be f32 beside f32, got bf16");
}

}  // namespace
}  // namespace kinema::test
