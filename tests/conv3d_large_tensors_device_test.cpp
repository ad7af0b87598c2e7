#include "kernels/copy/copy.h"
#include "tests/support/conv3d_device.h"
#include "tests/support/large_tensors.h"

// Convolutions of tensors of more than 2^32 elements, on a GPU. In emulation the same tests run on
// some thousand, which shows no more than that they are right.

namespace kinema::test {
namespace {

using kernels::Conv3dAlgorithm, kernels::Conv3dOptions;

struct Layer {
  const char* what;
  Shape clip, w;  ///< x of one clip
  Conv3dOptions options;
  int algorithm = -1;
};
const Conv3dOptions same{.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}};
const Conv3dOptions depthwise{.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}, .groups = 64};
const Layer layers[] = {
    {"dense, general kernel",
     {1, 2, 4, 4, 64},
     {40, 3, 3, 3, 64},
     same,
     int(Conv3dAlgorithm::gemm)},
    {"dense", {1, 2, 4, 8, 64}, {64, 3, 3, 3, 64}, same},
    {"1x1x1", {1, 1, 4, 4, 64}, {64, 1, 1, 1, 64}, {}},
    {"strides",
     {1, 2, 4, 4, 64},
     {32, 1, 3, 3, 64},
     {.stride = {2, 1, 2}, .pad_front = {0, 1, 1}, .pad_back = {0, 1, 1}}},
    {"depthwise", {1, 2, 4, 8, 64}, {64, 3, 3, 3, 1}, depthwise},
    {"groups",
     {1, 2, 4, 4, 64},
     {64, 3, 3, 3, 16},
     {.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}, .groups = 4}},
    // More than 2^30 pixels in and 2^32 elements out.
    {"stem", {1, 2, 8, 8, 3}, {12, 3, 3, 3, 3}, same},
};

/// So many clips that the larger of x and y passes 2^32 elements, or a few.
int64_t clips_of(const Layer& layer) {
  const int64_t in = layer.clip.size(),
                out = kernels::conv3d_output(layer.options, layer.clip, layer.w).size();
  const bool gpu = device_runs().front().backend == Backend::cuda;
  return gpu ? (int64_t(1) << 32) / std::max(in, out) + 5 : small() ? 9 : 17;
}

struct Problem {
  Problem(const DeviceRun& run, const Layer& l, Dtype type)
      : layer(l),
        weights(random_array(l.w, type, 9)),
        x(run, with_clips(l.clip), type),
        y(run, with_clips(kernels::conv3d_output(l.options, l.clip, l.w)), type),
        w(run, l.w, type) {
    w.set(0, weights);
  }
  Shape with_clips(Shape s) const {
    s[0] = clips_of(layer);
    return s;
  }
  const Layer& layer;
  Array weights;
  Large x, y, w;
};

// As that of the sums of each algorithm's own tests.
constexpr double bound = 1e-5;

/// f(problem) for each layer and type, the layer's algorithm being chosen.
template <class F>
void each_problem(const F& f) {
  for (const Layer& layer : layers)
    for (Dtype type : {Dtype::bf16, Dtype::f32}) {
      SCOPED_TRACE(std::string(layer.what) + " in " + name_of(type));
      const kernels::Conv3dPlanScope scope({.algorithm = layer.algorithm});
      f(Problem(device_runs().front(), layer, type));
    }
}

TEST(Conv3dLargeTensors, Forward) {
  each_problem([](const Problem& p) {
    const Conv3dOptions& o = p.layer.options;
    expect_right(
        {&p.x}, p.y,
        [&] { conv3d_here().forward({}, o, p.x.view, p.w.view, p.y.view, {.relu = true}); },
        [&](Stream s, const std::vector<View>& v) {
          kernels::conv3d_reference.forward(s, o, v[0], p.weights.view, v[1], {.relu = true});
        },
        bound);
  });
}

TEST(Conv3dLargeTensors, GradInput) {
  each_problem([](const Problem& p) {
    const Conv3dOptions& o = p.layer.options;
    expect_right(
        {&p.y}, p.x, [&] { conv3d_here().grad_input({}, o, p.y.view, p.w.view, p.x.view, {}); },
        [&](Stream s, const std::vector<View>& v) {
          kernels::conv3d_reference.grad_input(s, o, v[0], p.weights.view, v[1], {});
        },
        bound);
  });
}

/// All clips are zero but a few, which lie at both ends and beyond 2^31 and 2^32 elements.
TEST(Conv3dLargeTensors, GradWeight) {
  const DeviceRun& run = device_runs().front();
  const auto& copy = op_of(run, &kernels::copy_cuda, &kernels::copy_emulated);
  each_problem([&](const Problem& p) {
    copy.fill({}, p.x.view, 0);
    copy.fill({}, p.y.view, 0);
    const Array wanted =
        filled_array(p.layer.w, Dtype::f32, std::vector<double>(size_t(p.layer.w.size())));
    for (int64_t at : places(p.x.view.shape[0], 1)) {
      Shape in = p.x.view.shape, out = p.y.view.shape;
      in[0] = out[0] = 1;
      const Array x = random_array(in, p.x.view.dtype, uint64_t(at) + 1),
                  dy = random_array(out, p.x.view.dtype, uint64_t(at) + 2);
      p.x.set(at, x);
      p.y.set(at, dy);
      kernels::conv3d_reference.grad_weight({}, p.layer.options, x.view, dy.view, wanted.view,
                                            true);
    }
    const Large dw(run, p.layer.w, Dtype::f32);
    conv3d_here().grad_weight({}, p.layer.options, p.x.view, p.y.view, dw.view, false);
    EXPECT_LE(error(dw.get(0, p.layer.w[0]), wanted), bound);
  });
}

}  // namespace
}  // namespace kinema::test
