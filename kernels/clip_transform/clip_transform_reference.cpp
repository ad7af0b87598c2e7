#include <algorithm>
#include <cmath>
#include <vector>
#include "kernels/clip_transform/clip_transform.h"

namespace kinema::kernels {

namespace {

/// One frame, in double: pixel (y, x) begins at 3 * (y * width + x).
struct Image {
  int64_t height, width;
  std::vector<double> v;

  Image(int64_t h, int64_t w) : height(h), width(w), v(size_t(h * w * 3)) {}
  double* at(int64_t y, int64_t x) { return v.data() + 3 * (y * width + x); }
};

/// The share of input `i` in output `o` where `from` inputs become `to` outputs, but for a factor.
double share(int64_t i, int64_t o, int64_t from, int64_t to) {
  const double scale = double(from) / double(to);
  const double distance = double(i) + 0.5 - (double(o) + 0.5) * scale;
  return std::max(0., 1 - std::abs(distance) / std::max(1., scale));
}

/// Level (y, x, c) of the window scaled to height x width.
double scaled_level(const ClipPlan& p, const View& frame, int64_t height, int64_t width, int64_t y,
                    int64_t x, int64_t c) {
  double sum = 0, shares = 0;
  for (int64_t i = 0; i < p.height; ++i) {
    const double down = share(i, y, p.height, height);
    if (down == 0) continue;
    for (int64_t j = 0; j < p.width; ++j) {
      const double both = down * share(j, x, p.width, width);
      if (both == 0) continue;
      const int64_t at = (p.top + i) * frame.stride(2) + 3 * (p.left + j) + c;
      sum += both * double(data<const uint8_t>(frame)[at]);
      shares += both;
    }
  }
  return std::clamp(std::nearbyint(sum / shares), 0., 255.);
}

/// What the plan shows of `frame` [1,1,H,W,3], as levels.
Image shown(const ClipPlan& p, const View& frame, int64_t height, int64_t width) {
  Image image(height, width);
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < 3; ++c) {
        const int64_t at = (p.top + y) * frame.stride(2) + 3 * (p.left + x) + c;
        image.at(y, x)[c] = p.scales() ? scaled_level(p, frame, height, width, y, x, c)
                                       : double(data<const uint8_t>(frame)[at]);
      }
  return image;
}

double grey(const double* v) { return 0.2989 * v[0] + 0.587 * v[1] + 0.114 * v[2]; }

/// Through HSV; its formulas as Foley and van Dam, Computer Graphics, section 13.3.4, have them.
void turn_hue(double turns, double* v) {
  const double most = std::max({v[0], v[1], v[2]}), least = std::min({v[0], v[1], v[2]});
  if (most == least) return;  // grey has no hue
  const double range = most - least, saturation = range / most;
  double sector = v[0] == most   ? (v[1] - v[2]) / range
                  : v[1] == most ? (v[2] - v[0]) / range + 2
                                 : (v[0] - v[1]) / range + 4;
  sector += 6 * turns;
  sector -= 6 * std::floor(sector / 6);
  const double whole = std::floor(sector), f = sector - whole;
  const double p = most * (1 - saturation), q = most * (1 - saturation * f),
               t = most * (1 - saturation * (1 - f));
  const double by_sector[6][3] = {{most, t, p}, {q, most, p}, {p, most, t},
                                  {p, q, most}, {t, p, most}, {most, p, q}};
  std::copy_n(by_sector[int(whole) % 6], 3, v);
}

void change(int what, const ColourChange& c, Image& image) {
  double mean = 0;
  for (size_t i = 0; i < image.v.size(); i += 3) mean += grey(&image.v[i]);
  mean /= double(image.height * image.width);
  for (size_t i = 0; i < image.v.size(); i += 3) {
    double* v = &image.v[i];
    const double g = grey(v);
    if (what == 3) turn_hue(c.hue, v);
    for (int k = 0; k < 3; ++k) {
      if (what == 0) v[k] = c.brightness * v[k];
      if (what == 1) v[k] = c.contrast * v[k] + (1 - c.contrast) * mean;
      if (what == 2) v[k] = c.saturation * v[k] + (1 - c.saturation) * g;
      v[k] = std::clamp(v[k], 0., 1.);
    }
  }
}

/// Calls f with n, t and each frame of [N,T,...] as a view of its own.
template <class F>
void each_frame(const View& v, const F& f) {
  for (int64_t n = 0; n < v.shape[0]; ++n)
    for (int64_t t = 0; t < v.shape[1]; ++t) f(n, t, v.slice(0, n, 1).slice(1, t, 1));
}

template <class T>
void write(const ClipTransformOptions& o, bool mirrored, Image& image, const View& to) {
  for (int64_t y = 0; y < image.height; ++y)
    for (int64_t x = 0; x < image.width; ++x) {
      T* out = data<T>(to) + y * to.stride(2) + x * to.stride(3);
      const double* v = image.at(y, mirrored ? image.width - 1 - x : x);
      for (size_t c = 0; c < 3; ++c) out[c] = T((v[c] - o.mean[c]) / o.deviation[c]);
      std::fill_n(out + 3, to.tail, T(0));
    }
}

void forward(Stream, const ClipTransformOptions& o, std::span<const ClipPlan> plans, View frames,
             View clip) {
  check_clip_transform(o, plans, frames, clip);
  each_frame(clip, [&](int64_t n, int64_t t, const View& to) {
    const ClipPlan& p = plans[size_t(n)];
    Image image = shown(p, frames.slice(0, n, 1).slice(1, t, 1), to.shape[2], to.shape[3]);
    for (double& v : image.v) v /= 255;
    for (int what : p.colour.order) change(what, p.colour, image);
    dispatch_float("clip_transform", clip.dtype,
                   [&]<class T>(T) { write<T>(o, p.mirrored, image, to); });
  });
}

void scale(Stream, const ClipPlan& window, View frames, View scaled) {
  check_scale(window, frames, scaled);
  each_frame(scaled, [&](int64_t n, int64_t t, const View& to) {
    Image image = shown(window, frames.slice(0, n, 1).slice(1, t, 1), to.shape[2], to.shape[3]);
    for (int64_t y = 0; y < image.height; ++y)
      for (int64_t i = 0; i < 3 * image.width; ++i)
        data<uint8_t>(to)[y * to.stride(2) + i] = uint8_t(image.at(y, 0)[i]);
  });
}

void change_colours(Stream, const ColourChange& c, View frames) {
  check_change_colours(c, frames);
  each_frame(frames, [&](int64_t, int64_t, const View& frame) {
    Image image(frame.shape[2], frame.shape[3]);
    const auto row = [&](int64_t y) { return data<float>(frame) + y * frame.stride(2); };
    for (int64_t y = 0; y < image.height; ++y) std::copy_n(row(y), 3 * image.width, image.at(y, 0));
    for (int what : c.order) change(what, c, image);
    for (int64_t y = 0; y < image.height; ++y)
      for (int64_t i = 0; i < 3 * image.width; ++i) row(y)[i] = float(image.at(y, 0)[i]);
  });
}

}  // namespace

const ClipTransform clip_transform_reference = {
    .forward = forward, .scale = scale, .change_colours = change_colours};

}  // namespace kinema::kernels
