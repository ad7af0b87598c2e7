// A frame a core at a time; a single frame runs on the calling thread alone, as loaders want it.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>
#include "kernels/base/parallel.h"
#include "kernels/base/scratch.h"
#include "kernels/clip_transform/clip_transform.h"

namespace kinema::kernels {

namespace {

/// A frame whose pixels are dense; `row` elements from one row to the next.
template <class T>
struct Frame {
  T* data;
  int64_t height, width, row;
};

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

/// One row of `from` levels becomes one of `across`'s sums, in each colour.
void scale_row(const uint8_t* in, int64_t from, const Filter& across, float* out) {
  const int64_t width = int64_t(across.first.size());
  for (int64_t x = 0; x < width; ++x, out += 3) {
    const uint8_t* first = in + 3 * across.first[size_t(x)];
    const float* shares = &across.shares[size_t(x * across.width)];
    float sums[3] = {};
    for (int64_t i = 0; i < across.taps(x, from); ++i)
      for (int c = 0; c < 3; ++c) sums[c] += shares[i] * float(first[3 * i + c]);
    std::copy_n(sums, 3, out);
  }
}

/// `to` = all of `from`, scaled; columns of a row first, then rows.
void scale_frame(Frame<const uint8_t> from, Frame<uint8_t> to) {
  const Filter across(from.width, to.width), down(from.height, to.height);
  const int64_t length = 3 * to.width;
  const Scratch room = scratch((from.height + 1) * length);
  float *rows = static_cast<float*>(room.get()), *sums = rows + from.height * length;
  for (int64_t y = 0; y < from.height; ++y)
    scale_row(from.data + y * from.row, from.width, across, rows + y * length);
  for (int64_t y = 0; y < to.height; ++y) {
    std::fill_n(sums, length, 0.f);
    for (int64_t i = 0; i < down.taps(y, from.height); ++i) {
      const float share = down.shares[size_t(y * down.width + i)];
      const float* in = rows + (down.first[size_t(y)] + i) * length;
      for (int64_t x = 0; x < length; ++x) sums[x] += share * in[x];
    }
    uint8_t* out = to.data + y * to.row;
    for (int64_t x = 0; x < length; ++x)
      out[x] = uint8_t(std::clamp(std::nearbyint(sums[x]), 0.f, 255.f));
  }
}

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
void each_pixel(const Frame<float>& frame, const F& f) {
  for (int64_t y = 0; y < frame.height; ++y) {
    float* row = frame.data + y * frame.row;
    for (int64_t x = 0; x < frame.width; ++x) f(row + 3 * x);
  }
}

void change(int what, const ColourChange& c, const Frame<float>& frame) {
  if (what == 0 && c.brightness != 1)
    each_pixel(frame, [f = float(c.brightness)](float* v) { blend(v, f, 0); });
  if (what == 1 && c.contrast != 1) {
    double sum = 0;
    each_pixel(frame, [&](float* v) { sum += double(grey(v)); });
    const float mean = float(sum / double(frame.height * frame.width));
    each_pixel(frame, [f = float(c.contrast), mean](float* v) { blend(v, f, mean); });
  }
  if (what == 2 && c.saturation != 1)
    each_pixel(frame, [f = float(c.saturation)](float* v) { blend(v, f, grey(v)); });
  if (what == 3 && c.hue != 0)
    each_pixel(frame, [turns = float(c.hue)](float* v) { turn_hue(v, turns); });
}

void change_frame(const ColourChange& c, const Frame<float>& frame) {
  for (int what : c.order) change(what, c, frame);
}

/// Writes the rows of a frame of the clip: pixels at any pitch, zeros behind each.
template <class T>
class Output {
 public:
  Output(const View& frame)
      : data_(data<T>(frame)),
        row_(frame.stride(2)),
        pixel_(frame.shape[3] == 1 ? 3 + frame.tail : frame.stride(3)),
        width_(frame.shape[3]),
        tail_(frame.tail),
        values_(scratch(3 * width_)) {}

  /// Row y is what fill(float*) makes of 3 * width numbers.
  template <class F>
  void row(int64_t y, const F& fill) const {
    T* out = data_ + y * row_;
    if constexpr (std::is_same_v<T, float>)
      if (pixel_ == 3) return fill(out);
    auto* values = static_cast<float*>(values_.get());
    fill(values);
    if (pixel_ == 3) return void(std::transform(values, values + 3 * width_, out, narrow));
    for (int64_t x = 0; x < width_; ++x, out += pixel_) {
      std::transform(values + 3 * x, values + 3 * x + 3, out, narrow);
      std::fill_n(out + 3, tail_, T(0));
    }
  }

 private:
  static T narrow(float v) { return T(v); }

  T* data_;
  int64_t row_, pixel_, width_, tail_;
  Scratch values_;
};

/// out = float(level) * gain + shift, for (level / 255 - mean) / deviation. Sixteen pixels a step:
/// gains of whole vectors.
class Normalise {
 public:
  explicit Normalise(const ClipTransformOptions& o) {
    for (size_t i = 0; i < 48; ++i) {
      gain_[i] = float(1 / (255 * o.deviation[i % 3]));
      shift_[i] = float(-o.mean[i % 3] / o.deviation[i % 3]);
    }
  }
  void row(const uint8_t* in, int64_t width, float* out) const {
    int64_t left = 3 * width;
    for (; left >= 48; left -= 48, in += 48, out += 48)
      for (int i = 0; i < 48; ++i) out[i] = float(in[i]) * gain_[i] + shift_[i];
    for (int64_t i = 0; i < left; ++i) out[i] = float(in[i]) * gain_[i] + shift_[i];
  }

 private:
  float gain_[48], shift_[48];
};

/// The levels that a clip of height x width pixels shows of a frame, a row at a time.
class Shown {
 public:
  Shown(const ClipPlan& plan, const View& frame, int64_t height, int64_t width)
      : shown_{data<const uint8_t>(frame) + plan.top * frame.stride(2) + 3 * plan.left, height,
               width, frame.stride(2)} {
    if (plan.scales()) {
      scaled_ = std::make_unique_for_overwrite<uint8_t[]>(size_t(3 * height * width));
      scale_frame({shown_.data, plan.height, plan.width, shown_.row},
                  {scaled_.get(), height, width, 3 * width});
      shown_ = {scaled_.get(), height, width, 3 * width};
    }
    if (plan.mirrored) mirrored_.resize(size_t(3 * width));
  }
  /// Valid until the next is asked for.
  const uint8_t* row(int64_t y) {
    const uint8_t* in = shown_.data + y * shown_.row;
    if (mirrored_.empty()) return in;
    uint8_t* out = mirrored_.data() + mirrored_.size();
    for (int64_t left = shown_.width; left > 0; --left, in += 3) {
      out -= 3;
      out[0] = in[0], out[1] = in[1], out[2] = in[2];
    }
    return mirrored_.data();
  }

 private:
  Frame<const uint8_t> shown_;
  std::unique_ptr<uint8_t[]> scaled_;
  std::vector<uint8_t> mirrored_;
};

/// One frame of a clip.
template <class T>
void transform_frame(const ClipTransformOptions& o, const ClipPlan& plan, const View& frame,
                     const View& clip) {
  const int64_t height = clip.shape[2], width = clip.shape[3];
  Shown shown(plan, frame, height, width);
  const Output<T> to(clip);
  if (plan.colour == ColourChange{}) {
    const Normalise normalise(o);
    for (int64_t y = 0; y < height; ++y)
      to.row(y, [&](float* out) { normalise.row(shown.row(y), width, out); });
    return;
  }
  const Scratch room = scratch(3 * height * width);
  const Frame<float> changed{static_cast<float*>(room.get()), height, width, 3 * width};
  const Normalise plain({});
  for (int64_t y = 0; y < height; ++y)
    plain.row(shown.row(y), width, changed.data + y * changed.row);
  change_frame(plan.colour, changed);
  for (int64_t y = 0; y < height; ++y)
    to.row(y, [&](float* out) {
      const float* v = changed.data + y * changed.row;
      for (int64_t x = 0; x < width; ++x)
        for (int64_t c = 0; c < 3; ++c)
          out[3 * x + c] =
              float((double(v[3 * x + c]) - o.mean[size_t(c)]) / o.deviation[size_t(c)]);
    });
}

/// Calls f(n, t) for each frame of [N,T,...], on all cores.
template <class F>
void each_frame(const View& v, const F& f) {
  if (!v.size()) return;
  parallel_for(v.shape[0] * v.shape[1], 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i / v.shape[1], i % v.shape[1]);
  });
}

View frame_of(const View& v, int64_t n, int64_t t) { return v.slice(0, n, 1).slice(1, t, 1); }

void forward(Stream, const ClipTransformOptions& o, std::span<const ClipPlan> plans, View frames,
             View clip) {
  check_clip_transform(o, plans, frames, clip);
  dispatch_activation("clip_transform", clip.dtype, [&]<class T>(T) {
    each_frame(clip, [&](int64_t n, int64_t t) {
      transform_frame<T>(o, plans[size_t(n)], frame_of(frames, n, t), frame_of(clip, n, t));
    });
  });
}

void scale(Stream, const ClipPlan& window, View frames, View scaled) {
  check_scale(window, frames, scaled);
  const ClipPlan& p = window;
  const int64_t height = scaled.shape[2], width = scaled.shape[3];
  each_frame(scaled, [&](int64_t n, int64_t t) {
    const uint8_t* from = data<const uint8_t>(frame_of(frames, n, t));
    scale_frame({from + p.top * frames.stride(2) + 3 * p.left, p.scales() ? p.height : height,
                 p.scales() ? p.width : width, frames.stride(2)},
                {data<uint8_t>(frame_of(scaled, n, t)), height, width, scaled.stride(2)});
  });
}

void change_colours(Stream, const ColourChange& c, View frames) {
  check_change_colours(c, frames);
  each_frame(frames, [&](int64_t n, int64_t t) {
    change_frame(c, {data<float>(frame_of(frames, n, t)), frames.shape[2], frames.shape[3],
                     frames.stride(2)});
  });
}

}  // namespace

const ClipTransform clip_transform_cpu = {
    .forward = forward, .scale = scale, .change_colours = change_colours};

}  // namespace kinema::kernels
