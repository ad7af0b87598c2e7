#include "engine/data/augment.h"
#include <algorithm>
#include <cmath>

namespace kinema::engine::video {

namespace {

/// For each of `to` outputs the inputs that it sums, of `from` in all, and their shares.
struct Filter {
  std::vector<int64_t> first;
  std::vector<float> shares;  // `width` of each output, zeros behind the last
  int64_t width = 0;

  Filter(int64_t from, int64_t to) : first(size_t(to)) {
    const double scale = double(from) / double(to), reach = std::max(1., scale);
    width = std::min(from, int64_t(std::ceil(reach)) * 2 + 1);
    shares.resize(size_t(to * width));
    for (int64_t i = 0; i < to; ++i) {
      const double centre = (double(i) + 0.5) * scale;
      const int64_t begin = std::max<int64_t>(0, int64_t(centre - reach + 0.5));
      const int64_t end = std::min(from, int64_t(centre + reach + 0.5));
      double sum = 0;
      for (int64_t x = begin; x < end; ++x) sum += triangle(x, centre, reach);
      for (int64_t x = begin; x < end; ++x)
        shares[size_t(i * width + x - begin)] = float(triangle(x, centre, reach) / sum);
      first[size_t(i)] = begin;
    }
  }
  static double triangle(int64_t x, double centre, double reach) {
    return std::max(0., 1 - std::abs((double(x) + 0.5 - centre) / reach));
  }
  /// How many of the shares of output i are inputs.
  int64_t taps(int64_t i, int64_t from) const { return std::min(width, from - first[size_t(i)]); }
};

float clamp1(float v) { return std::clamp(v, 0.f, 1.f); }

float grey(const float* v) { return 0.2989f * v[0] + 0.587f * v[1] + 0.114f * v[2]; }

/// v = f * v + (1 - f) * other
void blend(float* v, float f, float other) {
  for (int c = 0; c < 3; ++c) v[c] = clamp1(f * v[c] + (1 - f) * other);
}

/// Through HSV, whose hue counts turns from red.
void turn_hue(float* v, float turns) {
  const float most = std::max({v[0], v[1], v[2]}), least = std::min({v[0], v[1], v[2]});
  const float range = most - least;
  if (range == 0) return;  // grey has no hue
  const float saturation = range / most;
  const float r = (most - v[0]) / range, g = (most - v[1]) / range, b = (most - v[2]) / range;
  const float sector = most == v[0] ? b - g : most == v[1] ? 2 + r - b : 4 + g - r;
  float hue = sector / 6 + 1 + turns;
  hue -= std::floor(hue);
  const float at = hue * 6, whole = std::floor(at), f = at - whole;
  const float p = clamp1(most * (1 - saturation)), q = clamp1(most * (1 - saturation * f)),
              t = clamp1(most * (1 - saturation * (1 - f)));
  const float by_sector[6][3] = {{most, t, p}, {q, most, p}, {p, most, t},
                                 {p, q, most}, {t, p, most}, {most, p, q}};
  std::copy_n(by_sector[int(whole) % 6], 3, v);
}

/// Calls f with each pixel's three numbers.
template <class F>
void each_pixel(const View& frame, const F& f) {
  for (int64_t y = 0; y < frame.shape[2]; ++y) {
    float* row = kernels::data<float>(frame) + y * frame.stride(2);
    for (int64_t x = 0; x < frame.shape[3]; ++x) f(row + 3 * x);
  }
}

void change(int what, const ColourChange& c, const View& frame) {
  if (what == 0 && c.brightness != 1)
    each_pixel(frame, [f = float(c.brightness)](float* v) { blend(v, f, 0); });
  if (what == 1 && c.contrast != 1) {
    double sum = 0;
    each_pixel(frame, [&](float* v) { sum += double(grey(v)); });
    const float mean = float(sum / double(frame.shape[2] * frame.shape[3]));
    each_pixel(frame, [f = float(c.contrast), mean](float* v) { blend(v, f, mean); });
  }
  if (what == 2 && c.saturation != 1)
    each_pixel(frame, [f = float(c.saturation)](float* v) { blend(v, f, grey(v)); });
  if (what == 3 && c.hue != 0)
    each_pixel(frame, [turns = float(c.hue)](float* v) { turn_hue(v, turns); });
}

}  // namespace

void scale_window(const View& from, Corner corner, FrameSize window, const View& to) {
  const int64_t height = to.shape[2], width = to.shape[3];
  check(corner.y >= 0 && corner.x >= 0 && corner.y + window.height <= from.shape[2] &&
            corner.x + window.width <= from.shape[3] && window.height > 0 && window.width > 0,
        "scale: a part of ", window.height, "x", window.width, " at ", corner.y, ",", corner.x,
        " leaves ", from.shape);
  const Filter across(window.width, width), down(window.height, height);
  std::vector<float> rows(size_t(window.height * width * 3));
  for (int64_t y = 0; y < window.height; ++y) {
    const uint8_t* in =
        kernels::data<const uint8_t>(from) + (corner.y + y) * from.stride(2) + 3 * corner.x;
    float* out = &rows[size_t(y * width * 3)];
    for (int64_t x = 0; x < width; ++x)
      for (int64_t i = 0; i < across.taps(x, window.width); ++i)
        for (int64_t c = 0; c < 3; ++c)
          out[3 * x + c] += across.shares[size_t(x * across.width + i)] *
                            float(in[3 * (across.first[size_t(x)] + i) + c]);
  }
  std::vector<float> sums(size_t(width * 3));
  for (int64_t y = 0; y < height; ++y) {
    std::fill(sums.begin(), sums.end(), 0.f);
    for (int64_t i = 0; i < down.taps(y, window.height); ++i) {
      const float share = down.shares[size_t(y * down.width + i)];
      const float* in = &rows[size_t((down.first[size_t(y)] + i) * width * 3)];
      for (int64_t x = 0; x < width * 3; ++x) sums[size_t(x)] += share * in[x];
    }
    uint8_t* out = kernels::data<uint8_t>(to) + y * to.stride(2);
    for (int64_t x = 0; x < width * 3; ++x)
      out[x] = uint8_t(std::clamp(std::nearbyint(sums[size_t(x)]), 0.f, 255.f));
  }
}

void change_colours(const ColourChange& c, const View& frame) {
  for (int what : c.order) change(what, c, frame);
}

void show(const View& frame, const Recipe& r, const ViewPlan& plan, const View& to) {
  View source = frame;
  Corner corner = plan.corner;
  Tensor scaled;
  if (plan.window != FrameSize{}) {
    scaled = empty({1, 1, r.height, r.width, 3}, Dtype::u8, Device::cpu);
    scale_window(frame, corner, plan.window, scaled.view());
    source = scaled.view();
    corner = {};
  }
  if (plan.colour == ColourChange{}) return normalise(source, r, corner, plan.mirrored, to);
  Recipe plain = r;
  plain.mean = {0, 0, 0};
  plain.deviation = {1, 1, 1};
  normalise(source, plain, corner, plan.mirrored, to);
  change_colours(plan.colour, to);
  each_pixel(to, [&](float* v) {
    for (size_t c = 0; c < 3; ++c) v[c] = float((double(v[c]) - r.mean[c]) / r.deviation[c]);
  });
}

}  // namespace kinema::engine::video
