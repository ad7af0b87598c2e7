#include "tests/support/conv3d_device.h"

// How far results are from exact sums of the products of the factors as they are stored.

namespace kinema::test {
namespace {

using kernels::Conv3dAlgorithm, kernels::Conv3dOptions, kernels::Conv3dPass;

struct Layer {
  const char* what;
  Shape x, w;
  Conv3dOptions options;
  Shape y() const { return kernels::conv3d_output(options, x, w); }
};
const Conv3dOptions same{.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}};
const Layer layers[] = {
    {"dense", {1, 2, 5, 7, 64}, {48, 3, 3, 3, 64}, same},
    {"1x1x1, deep", {1, 2, 4, 6, 512}, {64, 1, 1, 1, 512}, {}},
    {"3x1x1",
     {1, 6, 4, 5, 128},
     {32, 3, 1, 1, 128},
     {.pad_front = {1, 0, 0}, .pad_back = {1, 0, 0}}},
    {"stem",
     {1, 4, 17, 17, 3},
     {32, 3, 7, 7, 3},
     {.stride = {1, 2, 2}, .pad_front = {1, 3, 3}, .pad_back = {1, 3, 3}}},
    {"depthwise",
     {1, 4, 9, 8, 20},
     {20, 3, 3, 3, 1},
     {.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}, .groups = 20}},
    {"groups",
     {1, 3, 6, 7, 64},
     {64, 3, 3, 3, 16},
     {.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}, .groups = 4}},
};

/// f(index of y, index of x, index of w) for each product of a convolution, in the order of loops.
template <class F>
void each_product(const Layer& layer, const F& f) {
  const Shape y = layer.y(), &x = layer.x, &w = layer.w;
  const Conv3dOptions& o = layer.options;
  const auto pixel = [](const Shape& s, int64_t n, const std::array<int64_t, 3>& p) {
    return ((n * s[1] + p[0]) * s[2] + p[1]) * s[3] + p[2];
  };
  const auto tap_of = [&](int64_t i) {
    return std::array{i / w[3] / w[2], i / w[3] % w[2], i % w[3]};
  };
  const int64_t per_image = y[1] * y[2] * y[3], filter = w[1] * w[2] * w[3];
  for (int64_t p = 0; p < y[0] * per_image; ++p)
    for (int64_t tap = 0; tap < filter; ++tap) {
      const std::array at{p % per_image / y[3] / y[2], p / y[3] % y[2], p % y[3]}, k = tap_of(tap);
      std::array<int64_t, 3> from;
      bool inside = true;
      for (size_t a = 0; a < 3; ++a) {
        from[a] = at[a] * o.stride[a] - o.pad_front[a] + k[a] * o.dilation[a];
        inside &= from[a] >= 0 && from[a] < x[int(a) + 1];
      }
      const int64_t source = pixel(x, p / per_image, from) * x[4];
      for (int64_t k_out = 0; inside && k_out < w[0]; ++k_out)
        for (int64_t i = 0; i < w[4]; ++i)
          f(p * w[0] + k_out, source + k_out / (w[0] / o.groups) * w[4] + i,
            (k_out * filter + tap) * w[4] + i);
    }
}

/// A pass with sums in S, one product after another: factors a and b in the order of the pass.
template <class S>
std::vector<double> plain(Conv3dPass pass, const Layer& layer, const Array& a, const Array& b) {
  const std::vector<double> va = a.values(), vb = b.values();
  const Shape result = pass == Conv3dPass::forward      ? layer.y()
                       : pass == Conv3dPass::grad_input ? layer.x
                                                        : layer.w;
  std::vector<S> sums(size_t(result.size()));
  each_product(layer, [&](int64_t y, int64_t x, int64_t w) {
    const int64_t of[3][3] = {{y, x, w}, {x, y, w}, {w, x, y}};  // result, a, b
    const int64_t* i = of[int(pass)];
    sums[size_t(i[0])] += S(va[size_t(i[1])] * vb[size_t(i[2])]);
  });
  return {sums.begin(), sums.end()};
}

struct Factors {
  Array a, b, result;
};
Factors factors_of(Conv3dPass pass, const Layer& layer, Dtype type, double low = -1) {
  const Array x = random_array(layer.x, type, 1, low), w = random_array(layer.w, type, 2, low),
              dy = random_array(layer.y(), type, 3, low);
  if (pass == Conv3dPass::forward) return {x, w, Array(layer.y(), type)};
  if (pass == Conv3dPass::grad_input) return {dy, w, Array(layer.x, type)};
  return {x, dy, Array(layer.w, Dtype::f32)};
}

void run_pass(const kernels::Conv3d& op, Conv3dPass pass, const Conv3dOptions& o, Stream s,
              const std::vector<View>& v) {
  if (pass == Conv3dPass::forward) op.forward(s, o, v[0], v[1], v[2], {});
  if (pass == Conv3dPass::grad_input) op.grad_input(s, o, v[0], v[1], v[2], {});
  if (pass == Conv3dPass::grad_weight) op.grad_weight(s, o, v[0], v[1], v[2], false);
}
Array on_device(const DeviceRun& run, Conv3dPass pass, const Conv3dOptions& o, const Factors& f) {
  const auto work = [&](Stream s, const std::vector<View>& v) {
    run_pass(conv3d_here(), pass, o, s, v);
  };
  return test::on_device(run, {f.a, f.b, f.result}, work).back();
}

constexpr Conv3dPass passes[] = {Conv3dPass::forward, Conv3dPass::grad_input,
                                 Conv3dPass::grad_weight};

/// f for each layer and pass: by the plan's choice in the first run of the device, by the general
/// kernel in the last, which may be on another GPU.
template <class F>
void each_pass(const F& f) {
  for (const Layer& layer : layers)
    for (Conv3dPass pass : passes)
      for (bool general : {false, true}) {
        const DeviceRun& run = general ? device_runs().back() : device_runs().front();
        SCOPED_TRACE(std::string(layer.what) + ' ' + name_of(pass) + " on " + run.name);
        const kernels::Conv3dPlanScope scope(
            {.algorithm = general ? int(Conv3dAlgorithm::gemm) : -1});
        f(layer, pass, run);
      }
}

TEST(Conv3dErrorDevice, NarrowTypesErrAtMostTwiceAsMuchAsSumsInF32) {
  for (Dtype type : {Dtype::bf16, Dtype::f16})
    each_pass([&](const Layer& layer, Conv3dPass pass, const DeviceRun& run) {
      const Factors f = factors_of(pass, layer, type);
      const auto rounded = [&](const std::vector<double>& values) {
        return filled_array(f.result.view.shape, f.result.view.dtype, values);
      };
      const Array exact =
          filled_array(f.result.view.shape, Dtype::f64, plain<double>(pass, layer, f.a, f.b));
      const double of_f32 = error(rounded(plain<float>(pass, layer, f.a, f.b)), exact);
      EXPECT_LE(error(on_device(run, pass, layer.options, f), exact), 2 * of_f32) << type;
    });
}

TEST(Conv3dErrorDevice, F32ErrsAtMostByTheDesignsBound) {
  each_pass([&](const Layer& layer, Conv3dPass pass, const DeviceRun& run) {
    const Factors f = factors_of(pass, layer, Dtype::f32);
    const Array exact =
        filled_array(f.result.view.shape, Dtype::f64, plain<double>(pass, layer, f.a, f.b));
    EXPECT_LE(error(on_device(run, pass, layer.options, f), exact), 1e-5);
  });
}

/// Factors that 10 bits of mantissa hold are multiplied exactly.
TEST(Conv3dErrorDevice, Tf32ErrsByTheRoundingOfItsFactorsAlone) {
  each_pass([&](const Layer& layer, Conv3dPass pass, const DeviceRun& run) {
    Factors f = factors_of(pass, layer, Dtype::f32);
    for (Array* a : {&f.a, &f.b}) {
      const Array f16 = filled_array(a->view.shape, Dtype::f16, a->values());
      a->set(f16.values());
    }
    const Array exact =
        filled_array(f.result.view.shape, Dtype::f64, plain<double>(pass, layer, f.a, f.b));
    Conv3dOptions o = layer.options;
    o.tf32 = true;
    EXPECT_LE(error(on_device(run, pass, o, f), exact), 1e-5);
  });
}

/// C3D's first layer at a batch of 8 has 1.6 million pixels, on a GPU; elsewhere some thousand. All
/// terms are positive, so that the sums grow with the pixels.
TEST(Conv3dErrorDevice, WeightGradientsOverManyPixels) {
  const bool gpu = device_runs().front().backend == Backend::cuda;
  const int64_t size = gpu ? 112 : small() ? 16 : 28;
  const Layer stem{"stem", {gpu ? 8 : 1, gpu ? 16 : 8, size, size, 3}, {16, 3, 3, 3, 3}, same};
  const Layer dense{"dense",
                    {gpu ? 8 : 1, gpu ? 16 : 8, size, size, 8},
                    {8, 1, 3, 3, 8},
                    {.pad_front = {0, 1, 1}, .pad_back = {0, 1, 1}}};
  for (const Layer& layer : {stem, dense})
    for (Dtype type : {Dtype::bf16, Dtype::f32}) {
      const Factors f = factors_of(Conv3dPass::grad_weight, layer, type, 0);
      const Array want =
          on_host({f.a, f.b, f.result}, [&](Stream s, const std::vector<View>& v) {
            run_pass(kernels::conv3d_reference, Conv3dPass::grad_weight, layer.options, s, v);
          }).back();
      const Array got = on_device(device_runs().back(), Conv3dPass::grad_weight, layer.options, f);
      EXPECT_LE(error(got, want), 1e-5) << layer.what << ' ' << type;
    }
}

}  // namespace
}  // namespace kinema::test
