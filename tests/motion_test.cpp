#include "engine/data/motion.h"
#include <unistd.h>
#include <algorithm>
#include <cmath>
#include <complex>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numbers>
#include <numeric>
#include "engine/data/dataset.h"
#include "engine/data/lists.h"
#include "engine/data/sampling.h"
#include "engine/data/video.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

namespace fs = std::filesystem;
using namespace kinema::engine::video;

constexpr double pi = std::numbers::pi;
constexpr int64_t classes = 12;

int64_t class_of(const std::string& name) {
  const auto& all = motion_classes();
  return std::find(all.begin(), all.end(), name) - all.begin();
}

/// Brightness of frame t, row-major, 0 to 255.
std::vector<double> grey(const Tensor& clip, int64_t t) {
  std::vector<double> v;
  for (int64_t y = 0; y < clip.shape(2); ++y)
    for (int64_t x = 0; x < clip.shape(3); ++x) {
      const uint8_t* p =
          data<uint8_t>(clip) + t * clip.layout.stride(1) + y * clip.layout.stride(2) + 3 * x;
      v.push_back(0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]);
    }
  return v;
}

/// The largest distance between the distribution functions of two samples (Kolmogorov, Smirnov).
double distance(std::vector<double> a, std::vector<double> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  double worst = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const double x = std::min(a[i], b[j]);
    while (i < a.size() && a[i] <= x) ++i;
    while (j < b.size() && b[j] <= x) ++j;
    const double up = double(i) / double(a.size()) - double(j) / double(b.size());
    worst = std::max(worst, std::abs(up));
  }
  return worst;
}

double wrap(double x, double period) { return x - period * std::floor(x / period); }

// 1.63 is the 1 % point of Kolmogorov's distribution; 2.2 that of 0.01 %: 44 comparisons.
constexpr double kolmogorov = 2.2;

TEST(Motion, PosesOfARandomFrameAreDistributedAlikeInAllClasses) {
  const MotionOptions o{.seed = 3};
  constexpr int64_t clips = 3000;
  std::vector<double> values[classes][4];
  for (int64_t label = 0; label < classes; ++label)
    for (int64_t clip = 0; clip < clips; ++clip) {
      Draws draws({99, uint64_t(label * clips + clip)});
      const MotionPose p = motion_poses(o, label, clip)[size_t(draws.below(o.frames))];
      values[label][0].push_back(wrap(p.x, 64));
      values[label][1].push_back(wrap(p.y, 64));
      values[label][2].push_back(wrap(p.angle, 2 * pi));
      values[label][3].push_back(p.radius);
    }
  const double bound = kolmogorov * std::sqrt(2.0 / clips);
  for (int64_t label = 1; label < classes; ++label)
    for (int what = 0; what < 4; ++what)
      EXPECT_LT(distance(values[label][what], values[0][what]), bound)
          << motion_classes()[size_t(label)] << ", " << what;
  // The comparison can fail: in the first frame approaching shapes are smaller than receding ones.
  std::vector<double> small, large;
  for (int64_t clip = 0; clip < clips; ++clip) {
    small.push_back(motion_poses(o, class_of("approach"), clip)[0].radius);
    large.push_back(motion_poses(o, class_of("recede"), clip)[0].radius);
  }
  EXPECT_GT(distance(small, large), 10 * bound);
}

TEST(Motion, KeepsItsLimits) {
  for (int64_t size : {64, 128})
    for (int64_t frames : {2, 20, 60}) {
      const MotionOptions o{.seed = 4, .size = size, .frames = frames};
      const double unit = double(size) / 64;
      for (int64_t label = 0; label < classes; ++label)
        for (int64_t clip = 0; clip < 50; ++clip) {
          const auto poses = motion_poses(o, label, clip);
          ASSERT_EQ(int64_t(poses.size()), frames);
          const double speed = std::hypot(poses[1].x - poses[0].x, poses[1].y - poses[0].y) / unit;
          const double turn = std::abs(poses[1].angle - poses[0].angle) * 180 / pi;
          const double zoom = std::abs(std::log(poses[1].radius / poses[0].radius));
          EXPECT_EQ((speed > 0) + (turn > 0) + (zoom > 0), 1);
          EXPECT_TRUE(speed == 0 || (speed > 0.999 && speed < 2.001)) << speed;
          EXPECT_TRUE(turn == 0 || (turn > 4.999 && turn < 10.001)) << turn;
          EXPECT_TRUE(zoom == 0 || (zoom > (frames > 20 ? 0.0144 : 0.0449) && zoom < 0.0651));
          for (const MotionPose& p : poses)
            EXPECT_TRUE(p.radius > 7 * unit && p.radius < 31 * unit) << p.radius;
        }
    }
}

/// What moves how, by least squares on brightness: I_t + I . d = 0 with d one of the four fields
/// (1, 0), (0, 1), turn, zoom, the latter two about the middle of the change. Source: Lucas and
/// Kanade, 1981. Only its sign is used: sampled textures and occlusion shrink it. Three pairs of
/// neighbouring frames are looked at.
struct Flow {
  double right = 0, down = 0, turn = 0, zoom = 0;
};
Flow flow(const Tensor& clip) {
  const int64_t n = clip.shape(3);
  const std::complex<double> i(0, 2 * pi / double(n));
  double up[4] = {}, low[4] = {};
  for (int64_t t = 2; t + 1 < clip.shape(1); t += 7) {
    const std::vector<double> a = grey(clip, t), b = grey(clip, t + 1);
    std::complex<double> mx = 0, my = 0;  // the middle of the change, on the torus
    for (int64_t k = 0; k < n * n; ++k) {
      const double change = std::abs(a[size_t(k)] - b[size_t(k)]);
      mx += change * std::exp(i * double(k % n));
      my += change * std::exp(i * double(k / n));
    }
    const double cx = std::arg(mx) / i.imag(), cy = std::arg(my) / i.imag();
    for (int64_t y = 0; y < n; ++y)
      for (int64_t x = 0; x < n; ++x) {
        const auto at = [&](int64_t v, int64_t u) {
          const size_t k = size_t((v + n) % n * n + (u + n) % n);
          return (a[k] + b[k]) / 2;
        };
        const double gx = (at(y, x + 1) - at(y, x - 1)) / 2, gy = (at(y + 1, x) - at(y - 1, x)) / 2;
        const double gt = b[size_t(y * n + x)] - a[size_t(y * n + x)];
        if (std::abs(gt) < 2) continue;  // the still background
        const double dx = wrap(double(x) - cx + double(n) / 2, double(n)) - double(n) / 2;
        const double dy = wrap(double(y) - cy + double(n) / 2, double(n)) - double(n) / 2;
        const double along[4] = {gx, gy, -gx * dy + gy * dx, gx * dx + gy * dy};
        for (int k = 0; k < 4; ++k) {
          up[k] -= gt * along[k];
          low[k] += along[k] * along[k];
        }
      }
  }
  return {up[0] / low[0], up[1] / low[1], up[2] / low[2], up[3] / low[3]};
}

Flow mean_flow(int64_t label, int64_t clips) {
  Flow sum;
  for (int64_t clip = 0; clip < clips; ++clip) {
    const Flow f = flow(render_motion({.seed = 5}, label, clip));
    sum.right += f.right / double(clips), sum.down += f.down / double(clips);
    sum.turn += f.turn / double(clips), sum.zoom += f.zoom / double(clips);
  }
  return sum;
}

TEST(Motion, ClassesShowWhatTheyAreCalled) {
  const struct {
    const char* name;
    double right, down;
  } directions[] = {{"right", 1, 0}, {"down_right", 1, 1}, {"down", 0, 1}, {"down_left", -1, 1},
                    {"left", -1, 0}, {"up_left", -1, -1},  {"up", 0, -1},  {"up_right", 1, -1}};
  for (const auto& d : directions) {
    const Flow f = mean_flow(class_of(d.name), 12);
    const double cosine = (f.right * d.right + f.down * d.down) /
                          (std::hypot(f.right, f.down) * std::hypot(d.right, d.down));
    EXPECT_GT(cosine, std::cos(pi / 8)) << d.name;  // nearer than any other direction
    EXPECT_GT(std::hypot(f.right, f.down), 0.2) << d.name;
  }
  EXPECT_GT(mean_flow(class_of("rotate_clockwise"), 12).turn, 0.02);
  EXPECT_LT(mean_flow(class_of("rotate_counterclockwise"), 12).turn, -0.02);
  EXPECT_GT(mean_flow(class_of("approach"), 12).zoom, 0.01);
  EXPECT_LT(mean_flow(class_of("recede"), 12).zoom, -0.01);
}

/// What a simple observer sees of a grey picture of n x n: mean brightness and texture (mean of the
/// absolute gradient both ways) of 4x4 parts, and of the whole frame.
std::vector<double> features(const std::vector<double>& g, int64_t n) {
  const int64_t part = n / 4;
  std::vector<double> v(17 * 3);
  for (int64_t y = 0; y + 1 < n; ++y)
    for (int64_t x = 0; x + 1 < n; ++x) {
      const size_t k = size_t(y * n + x), cell = size_t(y / part * 4 + x / part);
      const double what[3] = {g[k], std::abs(g[k + 1] - g[k]), std::abs(g[k + size_t(n)] - g[k])};
      for (size_t f = 0; f < 3; ++f)
        for (size_t place : {cell, size_t(16)}) v[place * 3 + f] += what[f];
    }
  return v;
}

using Rows = std::vector<std::vector<double>>;

/// Share of `held_out` whose class is that of the nearest class mean of `seen`, every feature
/// divided by its deviation. One list of rows a class.
double nearest_mean(const std::vector<Rows>& seen, const std::vector<Rows>& held_out) {
  const size_t width = seen[0][0].size();
  std::vector<double> mean(width), square(width), deviation(width);
  double count = 0;
  Rows centres;
  for (const Rows& rows : seen) {
    centres.emplace_back(width);
    for (const auto& r : rows)
      for (size_t f = 0; f < width; ++f) {
        centres.back()[f] += r[f] / double(rows.size());
        mean[f] += r[f], square[f] += r[f] * r[f];
      }
    count += double(rows.size());
  }
  for (size_t f = 0; f < width; ++f)
    deviation[f] = std::sqrt(square[f] / count - mean[f] * mean[f] / (count * count));
  double right = 0, all = 0;
  for (size_t label = 0; label < held_out.size(); ++label)
    for (const auto& r : held_out[label]) {
      std::vector<double> far;
      for (const auto& c : centres) {
        far.push_back(0);
        for (size_t f = 0; f < width; ++f)
          far.back() += (r[f] - c[f]) * (r[f] - c[f]) / (deviation[f] * deviation[f]);
      }
      right += double(size_t(std::min_element(far.begin(), far.end()) - far.begin()) == label);
      ++all;
    }
  return right / all;
}

TEST(Motion, NoSingleFrameTellsTheClass) {
  const MotionOptions o{.seed = 6};
  constexpr int64_t clips = 160;
  // Of each clip one frame at random; as control its difference from the next, and what moves.
  std::vector<Rows> single[2], change[2], moving[2];
  for (int64_t label = 0; label < classes; ++label) {
    for (auto* list : {&single[0], &single[1], &change[0], &change[1], &moving[0], &moving[1]})
      list->emplace_back();
    for (int64_t clip = 0; clip < clips; ++clip) {
      const Tensor frames = render_motion(o, label, clip);
      Draws draws({98, uint64_t(label * clips + clip)});
      const int64_t t = draws.below(o.frames);
      const std::vector<double> g = grey(frames, t);
      std::vector<double> difference = grey(frames, t + 1 < o.frames ? t + 1 : t - 1);
      for (size_t k = 0; k < g.size(); ++k) difference[k] = std::abs(difference[k] - g[k]);
      single[clip % 2].back().push_back(features(g, o.size));
      change[clip % 2].back().push_back(features(difference, o.size));
      const Flow f = flow(frames);
      moving[clip % 2].back().push_back({f.right, f.down, f.turn, f.zoom});
    }
  }
  // Chance is 1/12; binomial on 960 held-out frames: standard deviation 0.9 %, four of them.
  EXPECT_LT(nearest_mean(single[0], single[1]), 1.0 / 12 + 0.036);
  // The same observer sees more in the difference of two frames, and their flow tells the class.
  EXPECT_GT(nearest_mean(change[0], change[1]), 1.0 / 12 + 0.036);
  EXPECT_GT(nearest_mean(moving[0], moving[1]), 0.5);
}

TEST(Motion, DependsOnSeedClassAndClipAlone) {
  const MotionOptions o{.seed = 7, .frames = 4};
  MotionOptions other = o;
  other.clips = 3, other.fps = 12;
  const auto bytes = [](const MotionOptions& m, int64_t label, int64_t clip) {
    return to_vector<uint8_t>(render_motion(m, label, clip));
  };
  EXPECT_EQ(bytes(o, 1, 2), bytes(other, 1, 2));
  EXPECT_NE(bytes(o, 1, 2), bytes(o, 1, 3));
  EXPECT_NE(bytes(o, 1, 2), bytes(o, 2, 2));
  other.seed = 8;
  EXPECT_NE(bytes(o, 1, 2), bytes(other, 1, 2));
}

/// A folder that goes with its test.
struct Folder {
  fs::path path = fs::temp_directory_path() / ("kinema_motion_" + std::to_string(::getpid()));
  Folder() { fs::remove_all(path); }
  ~Folder() { fs::remove_all(path); }
};

std::string content(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Motion, WritesWhatItRenders) {
  const Folder folder;
  const MotionOptions o{.seed = 2, .size = 32, .frames = 5, .clips = 2};
  int64_t done = 0;
  generate_motion(folder.path.string(), o, 2, [&](int64_t d, int64_t all) {
    EXPECT_EQ(d, ++done);
    EXPECT_EQ(all, 24);
  });
  EXPECT_EQ(done, 24);
  const Dataset d = scan_folder(folder.path.string());
  EXPECT_EQ(d.classes, motion_classes());
  ASSERT_EQ(d.samples.size(), 24u);
  for (size_t i = 0; i < d.samples.size(); ++i) {
    VideoReader reader(d.samples[i].path);
    ASSERT_EQ(reader.frames(), 5);
    const auto got = to_vector<uint8_t>(reader.read({0, 1, 2, 3, 4}));
    const auto want = to_vector<uint8_t>(render_motion(o, int64_t(i) / 2, int64_t(i) % 2));
    int worst = 0;
    for (size_t k = 0; k < got.size(); ++k)
      worst = std::max(worst, std::abs(int(got[k]) - int(want[k])));
    // Lossless but for YCbCr in 8 bits: half a level each, times up to 2.02 (blue from Cb), and
    // the rounding back.
    EXPECT_LE(worst, 3) << d.samples[i].path;
  }
}

TEST(Motion, KeepsItsFramesWithoutVideosThatAListNames) {
  const Folder folder;
  const MotionOptions o{.seed = 2, .size = 32, .frames = 5, .clips = 2};
  const auto warn = [](const std::string& sentence) { ADD_FAILURE() << sentence; };
  FrameCache cache(folder.path / "cache", warn);
  generate_motion_frames((folder.path / "motion").string(), cache, o, 2);
  const Dataset d = read_csv((folder.path / "motion/list.csv").string(), {.files_exist = false});
  EXPECT_EQ(d.classes, motion_classes());
  ASSERT_EQ(d.samples.size(), 24u);
  for (const Sample& s : d.samples) {
    const Recipe whole{.short_side = 32, .height = 32, .width = 32};
    const auto kept = cache.find(name_of(d, s), s.path, whole);
    ASSERT_TRUE(kept) << s.path;
    ASSERT_EQ(kept->frames(), 5);
    const int64_t clip = (&s - d.samples.data()) % 2;
    const Tensor drawn = render_motion(o, s.label, clip);
    for (int64_t t = 0; t < 5; ++t)
      for (int64_t y = 0; y < 32; ++y)
        EXPECT_EQ(std::memcmp(
                      data<uint8_t>(kept->frame(t)) + y * 96,
                      data<uint8_t>(drawn.view().slice(1, t, 1)) + y * drawn.view().stride(2), 96),
                  0);
  }
  // Refused before anything is drawn.
  std::ofstream(folder.path / "taken") << "a file";
  EXPECT_EQ(
      refusal([&] { generate_motion_frames((folder.path / "taken").string(), cache, o, 1); }),
      "motion: cannot make the folder " + (folder.path / "taken").string() + " (Not a directory)");
}

TEST(Motion, FinishesWhatWasBegunAndLeavesOthersAlone) {
  const Folder folder;
  const std::string root = folder.path.string();
  const MotionOptions o{.seed = 2, .size = 32, .frames = 3, .clips = 1};
  generate_motion(root, o, 1);
  const fs::path gone = folder.path / "left" / "00000.mp4", kept = folder.path / "up" / "00000.mp4";
  const std::string before = content(gone);
  fs::remove(gone);
  std::ofstream(kept) << "kept";
  std::ofstream(folder.path / "left" / "00000.mp4.part") << "what an interrupted run leaves";
  generate_motion(root, o, 2);
  EXPECT_EQ(content(gone), before);
  EXPECT_EQ(content(kept), "kept");
  EXPECT_FALSE(fs::exists(folder.path / "left" / "00000.mp4.part"));
  MotionOptions other = o;
  other.seed = 3;
  EXPECT_EQ(
      refusal([&] { generate_motion(root, other, 1); }),
      "motion: " + root + " holds clips of other options; choose another folder or remove it");
  fs::remove(folder.path / "motion.json");
  EXPECT_EQ(refusal([&] { generate_motion(root, o, 1); }),
            "motion: " + root + " is not empty and holds no motion.json; choose another folder");
  EXPECT_EQ(content(kept), "kept");
}

TEST(Motion, RefusesOptionsWithoutSense) {
  const auto said = [](const MotionOptions& o) {
    return refusal([&] { generate_motion("/nowhere/motion", o, 1); });
  };
  EXPECT_EQ(said({.size = 33}), "motion: size must be even and 16 to 4096 pixels, got 33");
  EXPECT_EQ(said({.frames = 1}), "motion: frames must be 2 to 10000, got 1");
  EXPECT_EQ(said({.clips = 0}), "motion: clips must be positive, got 0");
  EXPECT_EQ(refusal([] { render_motion({}, 12, 0); }), "motion: expected a class below 12, got 12");
}

}  // namespace
}  // namespace kinema::test
