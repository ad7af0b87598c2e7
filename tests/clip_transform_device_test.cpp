#include "kernels/clip_transform/clip_transform.h"
#include "kernels/clip_transform/clip_transform_cases.h"
#include "tests/support/clip_bounds.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

using kernels::ClipPlan, kernels::ClipTransform, kernels::ClipTransformOptions, kernels::jitter;

const ClipTransformOptions normal = {.mean = {0.45, 0.25, 0.5}, .deviation = {0.225, 0.5, 0.25}};

Array noise(const Shape& shape) { return random_array(shape, Dtype::u8, 5, 0, 256); }

/// Columns [first, first + width) of frames: their rows begin anywhere.
Array columns(Array frames, int64_t first, int64_t width) {
  frames.view = frames.view.slice(3, first, width);
  frames.offset += 3 * first;
  return frames;
}

/// The kernels that this program is linked with.
const ClipTransform& device_op() {
  return device_runs().front().backend == Backend::cuda ? kernels::clip_transform_cuda
                                                        : kernels::clip_transform_emulated;
}

/// The clip in every run, each pixel within its own bound of the reference's.
void expect_clip(const std::vector<ClipPlan>& plans, const Array& frames, const Array& clip,
                 const std::string& what) {
  const auto pass = [&](const ClipTransform& op) -> Pass {
    return [&op, &plans](Stream s, const std::vector<View>& v) {
      op.forward(s, normal, plans, v[0], v[1]);
    };
  };
  const Shape& shape = clip.view.shape;
  const double narrow = kernels::is_narrow(clip.view.dtype) ? epsilon_of(clip.view.dtype) : 0;
  const Array want = on_host({frames, clip}, pass(kernels::clip_transform_reference))[1];
  std::vector<double> bounds;
  for (int64_t n = 0; n < shape[0]; ++n)
    for (int64_t t = 0; t < shape[1]; ++t) {
      const View frame = frames.view.slice(0, n, 1).slice(1, t, 1);
      for (double b : clip_bounds(normal, plans[size_t(n)], frame, shape[2], shape[3]))
        bounds.insert(bounds.end(), 3, b);
    }
  const double worst = bounds.empty() ? 0 : *std::max_element(bounds.begin(), bounds.end());
  // What runs must have in common; the widest of the bounds, of numbers that reach 1 at least.
  expect_op_matches(kernels::clip_transform_reference, &device_op(), &device_op(), {frames, clip},
                    pass, {input, worst}, what);
  const std::vector<double>
      a = on_device(device_runs().front(), {frames, clip}, pass(device_op()))[1].values(),
      b = want.values();
  for (size_t i = 0; i < b.size(); ++i)
    ASSERT_LE(std::abs(a[i] - b[i]), bounds[i] + narrow * std::abs(b[i])) << what << ' ' << i;
}

TEST(ClipTransformDevice, AgreesWithTheReference) {
  for (const auto& c : kernels::clip_transform_cases) {
    if (std::string(c.tag) != "ci") continue;
    const Shape clip = {c.frames[0], c.frames[1], c.height, c.width, 3};
    for (Dtype type : device_types)
      expect_clip(plans_of(c), noise(c.frames), Array(clip, type), c.what);
  }
}

TEST(ClipTransformDevice, TakesAnyStrides) {
  const std::vector<ClipPlan> plans = {
      {.top = 1, .left = 2, .colour = jitter},
      {.height = 12, .width = 41, .mirrored = true, .colour = {.contrast = 1.2}},
      {.top = 3, .left = 1, .mirrored = true}};
  const Shape shape = {3, 2, 12, 48, 3};
  for (Dtype type : device_types)
    for (Layout layout : {Layout::fresh, Layout::odd_slice, Layout::slice, Layout::strided}) {
      const Array frames = random_array(shape, Dtype::u8, 5, 0, 256,
                                        layout == Layout::strided ? layout : Layout::fresh);
      expect_clip(plans, frames, Array({3, 2, 9, 39, 3}, type, layout), "strides");
    }
  for (Dtype type : device_types) {
    // Rows that begin anywhere; pixels with zero lanes of their own.
    Array padded({3, 2, 9, 39, 8}, type);
    padded.view.shape[4] = 3;
    padded.view.tail = 5;
    expect_clip(plans, columns(noise(shape), 1, 46), padded, "odd rows, zero lanes");
  }
}

TEST(ClipTransformDevice, ChangesColoursInEveryOrder) {
  // Frames enough that a warp shows some of several, each with a mean grey of its own.
  const Array frames = noise({24, 2, 9, 11, 3}), clip({24, 2, 8, 9, 3}, Dtype::f32);
  std::vector<ClipPlan> plans;
  std::array<int, 4> order = {0, 1, 2, 3};
  do {
    plans.push_back({.top = 1, .left = 2, .colour = jitter});
    plans.back().colour.order = order;
  } while (std::next_permutation(order.begin(), order.end()));
  expect_clip(plans, frames, clip, "orders");
}

TEST(ClipTransformDevice, TurnsTheHueAllTheWay) {
  const Array frames = noise({17, 1, 3, 5, 3}), clip({17, 1, 3, 5, 3}, Dtype::f32);
  std::vector<ClipPlan> plans;
  for (int i = 0; i < 17; ++i) plans.push_back({.colour = {.hue = (i - 8) / 8.}});
  expect_clip(plans, frames, clip, "hues");
}

/// More plans than a launch takes, of both kinds.
TEST(ClipTransformDevice, TakesManyClips) {
  const Array frames = noise({61, 1, 4, 6, 3}), clip({61, 1, 3, 3, 3}, Dtype::f32);
  std::vector<ClipPlan> plans;
  for (int64_t n = 0; n < 61; ++n) {
    plans.push_back({.left = n % 3, .mirrored = n % 5 == 0});
    if (n % 7 == 1) plans.back() = {.height = 4, .width = 1 + n % 6, .colour = {.contrast = 0.8}};
  }
  expect_clip(plans, frames, clip, "many");
}

TEST(ClipTransformDevice, ReadsAndWritesOnce) {
  const auto expect = [](const ClipPlan& plan, int64_t extra, const char* what) {
    const std::vector<ClipPlan> plans(2, plan);
    const Shape shape = {2, 3, 16, 40, 3};
    const int64_t pixels = shape.size() / 3;
    expect_traffic(
        {noise({2, 3, 20, 60, 3}), Array(shape, Dtype::f32)},
        [&](Stream s, const std::vector<View>& v) {
          device_op().forward(s, normal, plans, v[0], v[1]);
        },
        {.read = 3 * pixels + extra, .written = 12 * pixels}, what);
  };
  expect({.top = 2, .left = 4}, 0, "cut out");
  // From a column that is no multiple of 4: four words instead of three for 4 pixels.
  expect({.top = 2, .left = 5, .mirrored = true}, 2 * 3 * 16 * 40, "words");
  expect({.top = 2, .left = 4, .colour = jitter}, 2 * 3 * 16 * 40 * 3, "contrast reads twice");
}

TEST(ClipTransformDevice, RefusesWhatItCannotDo) {
  EXPECT_EQ(refusal_of([] {
              const Shape huge = {1, 1, 1, int64_t(1) << 28, 3};
              const View frames = kernels::fresh_layout(Dtype::u8, huge);
              const View clip = kernels::fresh_layout(Dtype::f32, {1, 1, 1, 1, 3});
              device_op().forward({}, {}, std::vector<ClipPlan>(1), frames, clip);
            }),
            "clip_transform: on a device sides must be below 268435456 pixels, got "
            "[1,1,1,268435456,3]");
  EXPECT_EQ(refusal_of([] { device_op().scale({}, {}, {}, {}); }),
            "clip_transform: a device scales frames only on their way into a clip");
  EXPECT_EQ(refusal_of([] { device_op().change_colours({}, {}, {}); }),
            "clip_transform: a device changes colours only on their way into a clip");
}

}  // namespace
}  // namespace kinema::test
