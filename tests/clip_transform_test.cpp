#include "kernels/clip_transform/clip_transform.h"
#include <omp.h>
#include "engine/ops/clip_transform.h"
#include "kernels/clip_transform/clip_transform_cases.h"
#include "tests/support/check.h"
#include "tests/support/clip_bounds.h"

namespace kinema::test {
namespace {

using kernels::ClipTransformCase;

const Backend both[] = {Backend::reference, Backend::cpu};
const ClipTransformOptions normal = {.mean = {0.45, 0.25, 0.5}, .deviation = {0.225, 0.5, 0.25}};

Tensor noise(const Shape& shape) { return random(shape, 5, Dtype::u8, 0, 256); }

View frame_of(const View& v, int64_t n, int64_t t) { return v.slice(0, n, 1).slice(1, t, 1); }

Tensor clip_of(Backend b, const ClipTransformOptions& o, const std::vector<ClipPlan>& plans,
               const View& frames, int64_t height, int64_t width, Dtype type = Dtype::f32) {
  const Tensor clip = poisoned({frames.shape[0], frames.shape[1], height, width, 3}, type);
  kernels::clip_transform(b).forward({}, o, plans, frames, clip.view());
  return clip;
}

/// Every number within its own bound.
void expect_near(const ClipTransformOptions& o, const std::vector<ClipPlan>& plans,
                 const View& frames, const Tensor& got, const Tensor& want) {
  const int64_t height = got.shape(2), width = got.shape(3);
  const std::vector<float> a = floats(got), b = floats(want);
  size_t i = 0;
  for (int64_t n = 0; n < got.shape(0); ++n)
    for (int64_t t = 0; t < got.shape(1); ++t)
      for (double bound : clip_bounds(o, plans[size_t(n)], frame_of(frames, n, t), height, width))
        for (int c = 0; c < 3; ++c, ++i)
          ASSERT_LE(std::abs(a[i] - b[i]), bound + rounding(got.dtype()) * std::abs(b[i]))
              << i << ' ' << a[i] << ' ' << b[i];
}

TEST(ClipTransform, AgreesWithTheReference) {
  for (const ClipTransformCase& c : kernels::clip_transform_cases) {
    if (std::string(c.tag) != "ci") continue;
    const Tensor frames = noise(c.frames);
    const std::vector<ClipPlan> plans = plans_of(c);
    for (Dtype type : activation_types) {
      SCOPED_TRACE(std::string(c.what) + ' ' + name_of(type));
      const Tensor want =
          clip_of(Backend::reference, normal, plans, frames.view(), c.height, c.width, type);
      const Tensor got =
          clip_of(Backend::cpu, normal, plans, frames.view(), c.height, c.width, type);
      expect_near(normal, plans, frames.view(), got, want);
    }
  }
}

TEST(ClipTransform, AgreesInEveryOrderOfChanges) {
  const Tensor frames = noise({1, 1, 12, 9, 3});
  std::vector<ClipPlan> plans(1, {.height = 11, .width = 9, .colour = kernels::jitter});
  std::array<int, 4>& order = plans[0].colour.order = {0, 1, 2, 3};
  do {
    const auto clip = [&](Backend b) { return clip_of(b, normal, plans, frames.view(), 8, 9); };
    expect_near(normal, plans, frames.view(), clip(Backend::cpu), clip(Backend::reference));
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(ClipTransform, ComputesWhatItShould) {
  const Tensor frames = from_vector<uint8_t>(
      {1, 1, 2, 3, 3}, {9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 51, 102, 153, 204, 255});
  for (Backend b : both) {
    const Tensor cut = clip_of(b, {.mean = {0, 0.2, 0.5}, .deviation = {1, 0.5, 0.25}},
                               {{.top = 1, .left = 1, .mirrored = true}}, frames.view(), 1, 2);
    const std::vector<double> want = {0.6, 1.2, 2, 0, 0, -0.4};
    for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(floats(cut)[i], want[i], 1e-6) << b;
    // Two pixels become one: their mean, 76.5 and 127.5 and 178.5, halves to even.
    const Tensor half =
        clip_of(b, {}, {{.top = 1, .left = 1, .height = 1, .width = 2}}, frames.view(), 1, 1);
    for (size_t i = 0; i < 3; ++i)
      EXPECT_NEAR(floats(half)[i], (std::vector{76., 128., 178.})[i] / 255, 1e-7) << b;
    const Tensor grey =
        clip_of(b, {}, {{.top = 1, .left = 1, .colour = {.saturation = 0}}}, frames.view(), 1, 2);
    const double dark = 0.587 * 0.2 + 0.114 * 0.4, light = 0.2989 * 0.6 + 0.587 * 0.8 + 0.114;
    for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(floats(grey)[i], i < 3 ? dark : light, 1e-6) << b;
  }
}

/// What a clip shows is scaled, then changed, then normalised: to the bit, as its parts do it.
TEST(ClipTransform, IsItsPartsOneAfterAnother) {
  const Tensor frames = noise({1, 2, 20, 30, 3});
  const ClipPlan plan{.top = 2, .left = 3, .height = 17, .width = 25, .colour = kernels::jitter};
  const Tensor clip = clip_of(Backend::cpu, normal, {plan}, frames.view(), 11, 13);
  const Tensor levels = poisoned({1, 2, 11, 13, 3}, Dtype::u8);
  scale_frames(plan, frames.view(), levels.view());
  const Tensor parts = clip_of(Backend::cpu, {}, {{}}, levels.view(), 11, 13);
  change_colours(plan.colour, parts.view());
  const std::vector<float> want = floats(parts), got = floats(clip);
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(got[i], float((double(want[i]) - normal.mean[i % 3]) / normal.deviation[i % 3]));
}

TEST(ClipTransform, PartsAgreeWithTheReference) {
  const Tensor frames = noise({2, 1, 20, 30, 3});
  const ClipPlan plan{.top = 2, .left = 3, .height = 17, .width = 25};
  std::vector<uint8_t> levels[2];
  std::vector<float> colours[2];
  const Tensor v = random({2, 2, 5, 7, 3}, 3, Dtype::f32, 0, 1);
  for (int i = 0; i < 2; ++i) {
    BackendScope scope(both[i]);
    const Tensor scaled = poisoned({2, 1, 11, 13, 3}, Dtype::u8), changed = empty_like(v);
    scale_frames(plan, frames.view(), scaled.view());
    copy(v, changed);
    change_colours(kernels::jitter, changed.view());
    levels[i] = to_vector<uint8_t>(scaled), colours[i] = floats(changed);
  }
  size_t i = 0;
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t p = 0; p < 11 * 13; ++p) {
      const bool tie = near_a_tie(plan, frame_of(frames.view(), n, 0), 11, 13, p / 13, p % 13);
      for (int c = 0; c < 3; ++c, ++i)
        EXPECT_LE(std::abs(levels[0][i] - levels[1][i]), tie ? 1 : 0) << n << ' ' << p;
    }
  // As clip_bounds has it for colours, from pixels that are exact.
  const ClipPlan same{.colour = kernels::jitter};
  const double bound = clip_bounds({}, same, v.view(), 1, 1)[0];
  for (i = 0; i < colours[0].size(); ++i) EXPECT_NEAR(colours[1][i], colours[0][i], bound) << i;
}

TEST(ClipTransform, TakesSlicesAndLeavesNeighboursAlone) {
  const Tensor whole = noise({2, 5, 14, 17, 3});
  const View frames = whole.view().slice(1, 1, 2, 2).slice(2, 1, 12).slice(3, 2, 14);
  const Tensor dense = empty(frames.shape, Dtype::u8);
  copy({whole.storage, frames, nullptr}, dense);
  const std::vector<ClipPlan> plans = {
      {.top = 1, .left = 2}, {.height = 12, .width = 13, .mirrored = true, .colour = {.hue = 0.3}}};
  for (Backend b : both)
    for (Dtype type : activation_types) {
      const Tensor want = clip_of(b, normal, plans, dense.view(), 9, 10, type);
      const Slice part(want.shape(), 2, 1, type);
      kernels::clip_transform(b).forward({}, normal, plans, frames, part.part.view());
      EXPECT_EQ(floats(part.part), floats(want)) << b << type;
      EXPECT_TRUE(part.neighbours_untouched()) << b << type;
      // Pixels that own lanes; frames of the clip apart.
      const Tensor wide = poisoned({2, 4, 9, 10, 8}, type);
      Tensor padded{wide.storage, wide.view().slice(1, 1, 2, 2).slice(4, 0, 3), nullptr};
      padded.layout.tail = 5;
      kernels::clip_transform(b).forward({}, normal, plans, frames, padded.view());
      EXPECT_EQ(floats(padded), floats(want)) << b << type;
      EXPECT_TRUE(tail_is_zero(padded)) << b << type;
    }
}

TEST(ClipTransform, ThreadsChangeNothing) {
  const Tensor frames = noise({2, 3, 40, 50, 3});
  const std::vector<ClipPlan> plans = {
      {.top = 3, .left = 5, .height = 30, .width = 41, .colour = kernels::jitter}, {.top = 2}};
  std::vector<float> clips[2];
  const int threads = omp_get_max_threads();
  for (int i = 0; i < 2; ++i) {
    omp_set_num_threads(i ? 5 : 1);
    clips[i] = floats(clip_of(Backend::cpu, normal, plans, frames.view(), 24, 25));
  }
  omp_set_num_threads(threads);
  EXPECT_EQ(clips[0], clips[1]);
}

TEST(ClipTransform, OnMetaNothingIsComputed) {
  BackendScope scope(Backend::meta);
  clip_transform({}, {}, {}, {});
  scale_frames({}, {}, {});
  change_colours({}, {});
}

TEST(ClipTransform, RefusesWhatDoesNotFit) {
  const Tensor frames = noise({1, 2, 6, 8, 3}), clip = empty({1, 2, 4, 5, 3});
  const std::vector<ClipPlan> one(1);
  ClipTransformOptions o;
  const auto says = [&](const std::vector<ClipPlan>& plans, const View& from, const View& to) {
    const auto call = [&] { clip_transform(o, plans, from, to); };
    const std::string text = refusal(call);
    BackendScope scope(Backend::reference);
    EXPECT_EQ(refusal(call), text);
    return text;
  };
  const View f = frames.view(), c = clip.view();
  EXPECT_EQ(says(one, c, c), "clip_transform: frames must be u8, got f32");
  EXPECT_EQ(says(one, f.slice(4, 0, 2), c),
            "clip_transform: frames must be [N,T,H,W,3], got [1,2,6,8,2]");
  EXPECT_EQ(says(one, f.slice(3, 0, 3, 2), c),
            "clip_transform: pixels of frames must be dense, got a stride of 6");
  EXPECT_EQ(says(one, f, f), "clip_transform: the clip must be f32, bf16 or f16, got u8");
  EXPECT_EQ(says(one, f, c.slice(1, 0, 1)),
            "clip_transform: expected as many clips and frames as in [1,2,6,8,3], got [1,1,4,5,3]");
  EXPECT_EQ(says({}, f, c), "clip_transform: expected a plan for each of 1 clips, got 0");
  EXPECT_EQ(says({{.left = 4}}, f, c), "clip_transform: a window of 4x5 at 0,4 leaves [1,2,6,8,3]");
  EXPECT_EQ(says({{.top = -1}}, f, c),
            "clip_transform: a window of 4x5 at -1,0 leaves [1,2,6,8,3]");
  EXPECT_EQ(says({{.height = 7, .width = 2}}, f, c),
            "clip_transform: a window of 7x2 at 0,0 leaves [1,2,6,8,3]");
  EXPECT_EQ(says({{.height = 2}}, f, c), "clip_transform: a window must not be empty, got 2x0");
  EXPECT_EQ(says({{.colour = {.order = {0, 1, 1, 3}}}}, f, c),
            "clip_transform: expected an order of 0 to 3, got 0,1,1,3");
  EXPECT_EQ(says({{.colour = {.order = {0, 1, 2, 4}}}}, f, c),
            "clip_transform: expected an order of 0 to 3, got 0,1,2,4");
  o.deviation[1] = 0;
  EXPECT_EQ(says(one, f, c), "clip_transform: a deviation must be above 0, got 0");
  EXPECT_EQ(refusal([&] {
              scale_frames({.top = 3}, f, empty({1, 2, 4, 5, 3}, Dtype::u8).view());
            }),
            "clip_transform: a window of 4x5 at 3,0 leaves [1,2,6,8,3]");
  EXPECT_EQ(refusal([&] { scale_frames({}, f, c); }),
            "clip_transform: scaled frames must be u8, got f32");
  EXPECT_EQ(refusal([&] { change_colours({}, f); }), "clip_transform: frames must be f32, got u8");
}

}  // namespace
}  // namespace kinema::test
