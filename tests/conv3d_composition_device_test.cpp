#include <cmath>
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/pointwise/pointwise.h"
#include "tests/support/conv3d_device.h"
#include "tests/support/device_conv3d_tiles.h"

// Epilogues against the same made by operations of the device one after another.

namespace kinema::test {
namespace {

using kernels::BatchNorm, kernels::Conv3d, kernels::Conv3dPass, kernels::Pointwise;

/// Of one backend.
struct Operations {
  const Conv3d& conv;
  const BatchNorm& norm;
  const Pointwise& point;
};
Operations operations() {
  const bool cuda = device_runs().front().backend == Backend::cuda;
  return {conv3d_here(), cuda ? kernels::batch_norm_cuda : kernels::batch_norm_emulated,
          cuda ? kernels::pointwise_cuda : kernels::pointwise_emulated};
}

struct Layer {
  const char* what;
  Shape x, w;
  kernels::Conv3dOptions options;
  int splits = 0;  ///< 0: the plan's own
  Shape y() const { return kernels::conv3d_output(options, x, w); }
};
const Layer layers[] = {
    {"dense", {2, 3, 7, 9, 20}, {37, 3, 3, 3, 20}, {.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}}},
    {"dense, split",
     {1, 2, 7, 9, 24},
     {40, 3, 3, 3, 24},
     {.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}},
     2},
    {"1x1x1", {2, 3, 6, 7, 40}, {72, 1, 1, 1, 40}, {}},
    {"1x3x3", {1, 3, 8, 9, 32}, {64, 1, 3, 3, 32}, {.pad_front = {0, 1, 1}, .pad_back = {0, 1, 1}}},
    {"3x1x1, few filters", {1, 5, 6, 7, 64}, {24, 3, 1, 1, 64}, {.pad_front = {2, 0, 0}}},
    {"stem",
     {1, 3, 20, 20, 3},
     {24, 3, 5, 5, 3},
     {.stride = {1, 2, 2}, .pad_front = {1, 2, 2}, .pad_back = {1, 2, 2}}},
    {"depthwise",
     {1, 4, 8, 9, 36},
     {36, 3, 3, 3, 1},
     {.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}, .groups = 36}},
    {"groups, stride",
     {1, 4, 9, 8, 32},
     {64, 3, 3, 3, 8},
     {.stride = {2, 2, 1}, .pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}, .groups = 4}},
};

/// f for each layer and type, in a third of the runs of the device where there are several: which
/// goes round, so that each run meets each layer and each type.
template <class F>
void each_layer(const F& f) {
  const std::vector<DeviceRun>& runs = device_runs();
  for (size_t l = 0; l < std::size(layers); ++l)
    for (size_t t = 0; t < std::size(device_types); ++t)
      for (size_t i = runs.size() > 1 ? (l + t) % 3 : 0; i < runs.size(); i += 3) {
        const Layer& layer = layers[l];
        SCOPED_TRACE(std::string(layer.what) + " in " + name_of(device_types[t]) + " on " +
                     runs[i].name);
        const kernels::Conv3dPlanScope scope({.splits = layer.splits});
        f(layer, device_types[t], runs[i]);
      }
}

double largest(const Array& a) {
  double most = 0;
  for (double v : a.values()) most = std::max(most, std::abs(v));
  return most;
}
Array ones(int64_t channels) {
  return filled_array({channels}, Dtype::f32, std::vector<double>(size_t(channels), 1));
}
Array empty(int64_t channels) { return Array({channels}, Dtype::f32); }

int64_t tiles_of(const DeviceRun& run, Conv3dPass pass, const Layer& layer, Dtype type) {
  const std::shared_ptr<void> inside = run.enter();
  const Array x(layer.x, type), w(layer.w, type), y(layer.y(), type);
  return conv3d_here().tiles(pass, layer.options, x.view, w.view, y.view);
}

/// A batch norm in inference with variance 1 does what the epilogue does:
///   relu(scale * (v + bias) + shift + residual), its mean being -bias.
TEST(Conv3dCompositionDevice, ForwardThenBatchNorm) {
  each_layer([](const Layer& layer, Dtype type, const DeviceRun& run) {
    const int64_t k = layer.w[0];
    const Array bias = random_array({k}, Dtype::f32, 3);
    Array mean = bias.clone();
    std::vector<double> negated = bias.values();
    for (double& v : negated) v = -v;
    mean.set(negated);
    const Array out(layer.y(), type);
    const std::vector<Array> after = on_device(
        run,
        {random_array(layer.x, type, 1), random_array(layer.w, type, 2), bias, mean,
         random_array({k}, Dtype::f32, 4, 0.5, 2), random_array({k}, Dtype::f32, 5), ones(k),
         random_array(layer.y(), type, 6), empty(k), empty(k), out, out, out},
        [&](Stream s, const std::vector<View>& v) {
          const Operations op = operations();
          op.conv.forward(
              s, layer.options, v[0], v[1], v[10],
              {.bias = v[2], .scale = v[4], .shift = v[5], .residual = v[7], .relu = true});
          op.conv.forward(s, layer.options, v[0], v[1], v[11], {});
          op.norm.infer_forward(s, {.eps = 0}, v[11], {v[4], v[5], v[3], v[6]},
                                {.residual = v[7], .relu = true}, v[12], {v[8], v[9]});
        });
    const Array &fused = after[10], &bare = after[11], &composed = after[12];
    // Some roundings of f32; in narrow types the bare sum's to half a unit in the last place, times
    // a scale of 2 at most, and then one unit in the last place.
    const double narrow = kernels::is_narrow(type) ? epsilon_of(type) : 0;
    const double bound =
        8 * epsilon_of(Dtype::f32) + narrow * (largest(bare) / largest(composed) + 1);
    EXPECT_LE(error(fused, composed), bound);
  });
}

TEST(Conv3dCompositionDevice, ReluAloneIsExact) {
  each_layer([](const Layer& layer, Dtype type, const DeviceRun& run) {
    const Array out(layer.y(), type);
    const std::vector<Array> after = on_device(
        run, {random_array(layer.x, type, 1), random_array(layer.w, type, 2), out, out, out},
        [&](Stream s, const std::vector<View>& v) {
          const Operations op = operations();
          op.conv.forward(s, layer.options, v[0], v[1], v[2], {.relu = true});
          op.conv.forward(s, layer.options, v[0], v[1], v[3], {});
          op.point.forward(s, kernels::Unary::relu, v[3], v[4]);
        });
    EXPECT_EQ(after[2].values(), after[4].values());
  });
}

TEST(Conv3dCompositionDevice, PartialsAreTheStatisticsOfABatchNorm) {
  each_layer([](const Layer& layer, Dtype type, const DeviceRun& run) {
    const int64_t k = layer.w[0], tiles = tiles_of(run, Conv3dPass::forward, layer, type);
    const std::vector<Array> after = on_device(
        run,
        {random_array(layer.x, type, 1), random_array(layer.w, type, 2), Array(layer.y(), type),
         Array({tiles, 3, k}, Dtype::f32), empty(k), empty(k)},
        [&](Stream s, const std::vector<View>& v) {
          const Operations op = operations();
          op.conv.forward(s, layer.options, v[0], v[1], v[2], {.relu = true, .partials = v[3]});
          op.norm.statistics(s, v[2], v[4], v[5]);
        });
    const std::vector<Moments> got = merged(after[3]);
    const std::vector<double> mean = after[4].values(), var = after[5].values();
    // Both sides sum in f32: a mean strays by some roundings of the largest value, a variance by
    // some of its own and what the mean does to it.
    const double stray = 32 * epsilon_of(Dtype::f32) * largest(after[2]);
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i].mean, mean[i], stray);
      EXPECT_NEAR(got[i].m2 / got[i].count, var[i],
                  32 * epsilon_of(Dtype::f32) * var[i] + 2 * stray * std::sqrt(var[i]));
    }
  });
}

/// Whatever is added, the mask only chooses: not a bit may differ.
TEST(Conv3dCompositionDevice, MaskIsThatOfARelu) {
  each_layer([](const Layer& layer, Dtype type, const DeviceRun& run) {
    const Array before = random_array(layer.x, type, 4);
    Array mask = random_array(layer.x, type, 3);
    std::vector<double> values = mask.values();
    for (double& v : values) v = std::max(v, 0.0);
    mask.set(values);
    const std::vector<Array> after =
        on_device(run,
                  {random_array(layer.y(), type, 1), random_array(layer.w, type, 2), mask, before,
                   before, Array(layer.x, type)},
                  [&](Stream s, const std::vector<View>& v) {
                    const Operations op = operations();
                    op.conv.grad_input(s, layer.options, v[0], v[1], v[3],
                                       {.accumulate = true, .mask = v[2]});
                    op.conv.grad_input(s, layer.options, v[0], v[1], v[4], {.accumulate = true});
                    op.point.grad(s, kernels::Unary::relu, v[2], v[4], v[5], false);
                  });
    EXPECT_EQ(after[3].values(), after[5].values());
  });
}

/// dbeta and dgamma of a batch norm whose rstd is 1.
TEST(Conv3dCompositionDevice, SumsAreThoseOfABatchNorm) {
  each_layer([](const Layer& layer, Dtype type, const DeviceRun& run) {
    const int64_t c = layer.x[4], tiles = tiles_of(run, Conv3dPass::grad_input, layer, type);
    const std::vector<Array> after = on_device(
        run,
        {random_array(layer.y(), type, 1), random_array(layer.w, type, 2),
         random_array(layer.x, type, 3), random_array({c}, Dtype::f32, 4), Array(layer.x, type),
         Array({tiles, 2, c}, Dtype::f32), ones(c), empty(c), empty(c)},
        [&](Stream s, const std::vector<View>& v) {
          const Operations op = operations();
          op.conv.grad_input(s, layer.options, v[0], v[1], v[4],
                             {.mask = v[2], .sums = v[5], .z = v[2], .mean = v[3]});
          kernels::BatchNormTargets to;
          to.dbeta.view = v[7];
          to.dgamma.view = v[8];
          op.norm.infer_grad(s, {v[2], v[6], v[3], v[3], v[6], View{}}, v[4], to);
        });
    const std::vector<double> parts = after[5].values();
    const Array &dx = after[4], &z = after[2];
    // Both sides sum in f32.
    const double terms = double(layer.x.size() / c) * largest(dx);
    for (size_t i = 0; i < size_t(c); ++i) {
      double sum = 0, products = 0;
      for (size_t at = 0; at < parts.size(); at += 2 * size_t(c))
        sum += parts[at + i], products += parts[at + size_t(c) + i];
      EXPECT_NEAR(sum, after[7].values()[i], 32 * epsilon_of(Dtype::f32) * terms);
      EXPECT_NEAR(products, after[8].values()[i],
                  32 * epsilon_of(Dtype::f32) * terms * (largest(z) + 1));
    }
  });
}

}  // namespace
}  // namespace kinema::test
