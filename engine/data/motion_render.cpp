#include <algorithm>
#include <cmath>
#include <numbers>
#include "engine/data/motion.h"
#include "engine/data/sampling.h"

namespace kinema::engine::video {

namespace {

constexpr double pi = std::numbers::pi;
constexpr double margin = 1.1;         // half the side of a sprite, in radii
constexpr double texture_radius = 13;  // the radius at which texture lengths are in pixels

using Colour = std::array<float, 3>;

double luma(const Colour& c) { return 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2]; }

/// How far the brightness of a texture's two colours lies apart: the shape's enough to see motion
/// in, the background's less, so that the shape stands out.
struct Contrast {
  double least, most;
};
constexpr Contrast of_shape{0.4, 1}, of_background{0.08, 0.25};

std::pair<Colour, Colour> draw_colours(Draws& draws, const Contrast& contrast) {
  Colour a, b;
  double apart = 0;
  do {
    for (float& x : a) x = float(draws.between(0.05, 0.95));
    for (float& x : b) x = float(draws.between(0.05, 0.95));
    apart = std::abs(luma(a) - luma(b));
  } while (apart < contrast.least || apart > contrast.most);
  return {a, b};
}

/// 0 below `from`, 1 above `to`, smooth between.
double ramp(double x, double from, double to) {
  const double t = std::clamp((x - from) / (to - from), 0.0, 1.0);
  return t * t * (3 - 2 * t);
}

/// A pattern of two colours over the plane: noise, checker, stripes or dots, turned by any angle.
/// Edges are some 2.5 pixels soft, so that a filter of 3 frames and 3 pixels sees them move.
class Texture {
 public:
  Texture(Draws& draws, const Contrast& contrast) {
    std::tie(low_, high_) = draw_colours(draws, contrast);
    kind_ = int(draws.below(4));
    const double angle = draws.between(0, 2 * pi);
    cos_ = std::cos(angle), sin_ = std::sin(angle);
    cell_ = draws.between(5, 7);  // pixels: half a period, or a lattice step of the noise
    shift_x_ = draws.between(0, side), shift_y_ = draws.between(0, side);
    for (float& v : lattice_) v = float(draws.unit());
  }

  /// At x, y in pixels.
  Colour at(double x, double y) const {
    const double u = (cos_ * x + sin_ * y) / cell_ + shift_x_;
    const double v = (cos_ * y - sin_ * x) / cell_ + shift_y_;
    const float mix = float(value(u, v));
    Colour c;
    for (size_t i = 0; i < 3; ++i) c[i] = low_[i] + mix * (high_[i] - low_[i]);
    return c;
  }

 private:
  static constexpr int64_t side = 16;

  /// In [0, 1]; u and v in cells.
  double value(double u, double v) const {
    const double soft = 1.25 / cell_;
    // Triangle waves of period 2 and height 1: 0.5 is an edge.
    const double a = std::abs(u - 2 * std::floor(u / 2) - 1);
    const double b = std::abs(v - 2 * std::floor(v / 2) - 1);
    switch (kind_) {
      case 0:
        return noise(u, v);
      case 1: {  // checker
        const double p = ramp(a, 0.5 - soft, 0.5 + soft), q = ramp(b, 0.5 - soft, 0.5 + soft);
        return p + q - 2 * p * q;
      }
      case 2:  // stripes
        return ramp(a, 0.5 - soft, 0.5 + soft);
      default:  // dots
        return 1 - ramp(std::hypot(a, b), 0.6 - soft, 0.6 + soft);
    }
  }

  /// Value noise, its contrast stretched.
  double noise(double u, double v) const {
    const double fu = std::floor(u), fv = std::floor(v);
    const double s = ramp(u - fu, 0, 1), t = ramp(v - fv, 0, 1);
    const double top = lerp(lattice(fu, fv), lattice(fu + 1, fv), s);
    const double bottom = lerp(lattice(fu, fv + 1), lattice(fu + 1, fv + 1), s);
    return std::clamp(0.5 + 1.6 * (lerp(top, bottom, t) - 0.5), 0.0, 1.0);
  }
  static double lerp(double a, double b, double t) { return a + t * (b - a); }
  double lattice(double u, double v) const {
    const int64_t i = int64_t(u) & (side - 1), j = int64_t(v) & (side - 1);
    return lattice_[size_t(j * side + i)];
  }

  Colour low_{}, high_{};
  int kind_ = 0;
  double cos_ = 1, sin_ = 0, cell_ = 1, shift_x_ = 0, shift_y_ = 0;
  std::array<float, side * side> lattice_{};
};

/// The distance of the outline from the middle by direction, at most 1: polygon, ellipse or blob.
class Outline {
 public:
  explicit Outline(Draws& draws) {
    const int64_t kind = draws.below(3);
    if (kind == 0) polygon(draws);
    if (kind == 1) ellipse(draws);
    if (kind == 2) blob(draws);
  }
  double operator()(double angle) const {
    const double turn = angle / (2 * pi);
    return radius_[size_t((turn - std::floor(turn)) * steps) % steps];
  }

 private:
  static constexpr size_t steps = 1024;

  void polygon(Draws& draws) {
    const int64_t corners = 4 + draws.below(4);
    std::vector<double> length(static_cast<size_t>(corners));
    for (double& x : length) x = draws.between(0.75, 1);
    const double wedge = 2 * pi / double(corners);
    for (size_t i = 0; i < steps; ++i) {
      const double angle = 2 * pi * double(i) / double(steps);
      const size_t k = size_t(angle / wedge) % size_t(corners);
      const double a = length[k], b = length[(k + 1) % size_t(corners)];
      const double in = angle - double(k) * wedge;
      // The straight line from corner k to the next, in polar coordinates.
      radius_[i] = a * b * std::sin(wedge) / (a * std::sin(in) + b * std::sin(wedge - in));
    }
  }
  void ellipse(Draws& draws) {
    const double minor = draws.between(0.6, 0.95);
    for (size_t i = 0; i < steps; ++i) {
      const double angle = 2 * pi * double(i) / double(steps);
      radius_[i] = minor / std::hypot(minor * std::cos(angle), std::sin(angle));
    }
  }
  void blob(Draws& draws) {
    std::array<double, 3> size, phase;
    for (double& x : size) x = draws.between(0.02, 0.12);
    for (double& x : phase) x = draws.between(0, 2 * pi);
    for (size_t i = 0; i < steps; ++i) {
      double r = 1;
      for (size_t k = 0; k < 3; ++k)
        r +=
            size[k] * (std::cos(double(k + 2) * 2 * pi * double(i) / double(steps) + phase[k]) - 1);
      radius_[i] = r;
    }
  }

  std::array<double, steps> radius_{};
};

/// A shape of radius 1 in a square of texels: colour times coverage, and coverage.
class Sprite {
 public:
  Sprite(const Outline& outline, const Texture& texture, int64_t side)
      : side_(side), texels_(static_cast<size_t>(side * side)) {
    const double step = 2 * margin / double(side);
    for (int64_t j = 0; j < side; ++j)
      for (int64_t i = 0; i < side; ++i) {
        const double x = (double(i) + 0.5) * step - margin, y = (double(j) + 0.5) * step - margin;
        const double inside = outline(std::atan2(y, x)) - std::hypot(x, y);
        const float cover = float(std::clamp(0.5 + inside / (2 * step), 0.0, 1.0));
        if (cover <= 0) continue;
        const Colour c = texture.at(x * texture_radius, y * texture_radius);
        texels_[size_t(j * side + i)] = {c[0] * cover, c[1] * cover, c[2] * cover, cover};
      }
  }

  /// Adds the bilinear sample at x, y (in radii) to `sum`.
  void add(double x, double y, std::array<float, 4>& sum) const {
    const double scale = double(side_) / (2 * margin);
    const double u = (x + margin) * scale - 0.5, v = (y + margin) * scale - 0.5;
    if (u < 0 || v < 0 || u >= double(side_ - 1) || v >= double(side_ - 1)) return;
    const int64_t i = int64_t(u), j = int64_t(v);
    const float s = float(u - double(i)), t = float(v - double(j));
    const Texel* top = &texels_[size_t(j * side_ + i)];
    const Texel* bottom = top + side_;
    for (size_t c = 0; c < 4; ++c)
      sum[c] += (1 - t) * (top[0][c] + s * (top[1][c] - top[0][c])) +
                t * (bottom[0][c] + s * (bottom[1][c] - bottom[0][c]));
  }

 private:
  using Texel = std::array<float, 4>;
  int64_t side_;
  std::vector<Texel> texels_;
};

uint8_t level(float x) { return uint8_t(std::clamp(int(x * 255 + 0.5f), 0, 255)); }

/// The sprite's colour times coverage, and coverage, of one pixel: the mean of four samples.
std::array<float, 4> sample(const Sprite& sprite, const MotionPose& pose, double c, double s,
                            int64_t x, int64_t y) {
  std::array<float, 4> sum{};
  for (int k = 0; k < 4; ++k) {
    const double dx = double(x) + 0.25 + 0.5 * (k % 2) - pose.x;
    const double dy = double(y) + 0.25 + 0.5 * (k / 2) - pose.y;
    sprite.add(c * dx + s * dy, c * dy - s * dx, sum);
  }
  for (float& v : sum) v *= 0.25f;
  return sum;
}

/// Puts the sprite over the background, around the torus, into the bytes of one frame.
void draw(const Sprite& sprite, const MotionPose& pose, const std::vector<Colour>& background,
          int64_t size, uint8_t* to, int64_t pitch) {
  const double c = std::cos(pose.angle) / pose.radius, s = std::sin(pose.angle) / pose.radius;
  const double reach = margin * pose.radius;
  for (int64_t y = int64_t(std::floor(pose.y - reach)); double(y) < pose.y + reach; ++y)
    for (int64_t x = int64_t(std::floor(pose.x - reach)); double(x) < pose.x + reach; ++x) {
      const std::array<float, 4> over = sample(sprite, pose, c, s, x, y);
      if (over[3] <= 0) continue;
      const int64_t wx = (x % size + size) % size, wy = (y % size + size) % size;
      const Colour& under = background[size_t(wy * size + wx)];
      for (size_t i = 0; i < 3; ++i)
        to[wy * pitch + 3 * wx + int64_t(i)] = level(over[i] + (1 - over[3]) * under[i]);
    }
}

std::vector<Colour> paint(const Texture& texture, int64_t size) {
  const double unit = motion_reference_size / double(size);
  std::vector<Colour> pixels;
  for (int64_t y = 0; y < size; ++y)
    for (int64_t x = 0; x < size; ++x)
      pixels.push_back(texture.at((double(x) + 0.5) * unit, (double(y) + 0.5) * unit));
  return pixels;
}

}  // namespace

Tensor render_motion(const MotionOptions& o, int64_t label, int64_t clip) {
  const std::vector<MotionPose> poses = motion_poses(o, label, clip);
  Draws draws(motion_key(o, label, clip, "look"));
  const Texture ground(draws, of_background), skin(draws, of_shape);
  const Outline outline(draws);
  const Sprite sprite(outline, skin, std::max<int64_t>(32, o.size * 3 / 2));
  const std::vector<Colour> background = paint(ground, o.size);
  Tensor frames = empty({1, o.frames, o.size, o.size, 3}, Dtype::u8, Device::cpu);
  for (int64_t t = 0; t < o.frames; ++t) {
    uint8_t* to = data<uint8_t>(frames) + t * frames.layout.stride(1);
    const int64_t pitch = frames.layout.stride(2);
    for (int64_t i = 0; i < o.size * o.size; ++i)
      for (size_t c = 0; c < 3; ++c)
        to[i / o.size * pitch + i % o.size * 3 + int64_t(c)] = level(background[size_t(i)][c]);
    draw(sprite, poses[size_t(t)], background, o.size, to, pitch);
  }
  return frames;
}

}  // namespace kinema::engine::video
