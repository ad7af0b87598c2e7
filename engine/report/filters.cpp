#include "engine/report/filters.h"
#include <algorithm>
#include <cmath>

namespace kinema::engine::report {

namespace {

constexpr int64_t gap = 4;           ///< pixels between filters
constexpr int64_t wanted_side = 48;  ///< pixels of an enlarged filter, about
constexpr uint8_t background = 24;

bool sees_colours(const Shape& s) {
  return s.rank == 5 && (s[4] == 3 || (s[1] == 1 && s[4] > 0 && s[4] % 3 == 0));
}

/// The picture that all filters are painted on.
Tensor canvas(int64_t frames, int64_t height, int64_t width) {
  return full({1, frames, height, width, 3}, background, Dtype::u8, Device::cpu);
}

int64_t scale_of(const Filters& f) {
  const int64_t side = std::max(f.weights.shape(2), f.weights.shape(3));
  return std::max<int64_t>(1, (wanted_side + side - 1) / side);
}

/// Paints frame t of filter k with its upper left corner at (y, x) of frame `at` of `picture`.
void paint(const Filters& f, int64_t k, int64_t t, const Tensor& picture, int64_t at, int64_t y,
           int64_t x) {
  const View w = f.weights.view(), to = picture.view();
  const int64_t scale = scale_of(f), height = w.shape[2], width = w.shape[3];
  const float* filter = data<float>(f.weights) + k * w.stride(0);
  float most = 0;
  for (int64_t frame = 0; frame < w.shape[1]; ++frame)
    for (int64_t row = 0; row < height; ++row)
      for (int64_t i = 0; i < 3 * width; ++i)
        most = std::max(most, std::abs(filter[frame * w.stride(1) + row * w.stride(2) + i]));
  for (int64_t row = 0; row < height * scale; ++row)
    for (int64_t i = 0; i < 3 * width * scale; ++i) {
      const int64_t column = i / 3 / scale, colour = i % 3;
      const float v = filter[t * w.stride(1) + row / scale * w.stride(2) + 3 * column + colour];
      data<uint8_t>(picture)[at * to.stride(1) + (y + row) * to.stride(2) + 3 * x + i] =
          uint8_t(std::lround(127.5f + (most > 0 ? 127.5f * v / most : 0)));
    }
}

}  // namespace

Filters filters_of(const nn::Module& network, const std::string& layer) {
  std::string known;
  for (const nn::NamedTensor& p : network.parameters()) {
    const Shape& s = p.tensor->shape();
    if (s.rank == 5) known += (known.empty() ? "" : ", ") + p.name;
    const bool named = p.name == layer || p.name == layer + ".weight";
    check(!named || sees_colours(s), "filters: ", p.name, " is ", s,
          "; expected a convolution over colours, [K,kt,kh,kw,3] or [K,1,kh,kw,3 T]");
    if (!(layer.empty() ? sees_colours(s) : named)) continue;
    const int64_t frames = s[4] == 3 ? s[1] : s[4] / 3;
    std::vector<float> values = to_vector<float>(*p.tensor);
    // [K,1,kh,kw,3 T] has the frames innermost.
    if (s[4] != 3) {
      const std::vector<float> from = values;
      const int64_t pixels = s[2] * s[3];
      for (size_t i = 0; i < from.size(); ++i) {
        const int64_t c = int64_t(i) % s[4], pixel = int64_t(i) / s[4] % pixels,
                      k = int64_t(i) / s[4] / pixels;
        values[size_t(((k * frames + c / 3) * pixels + pixel) * 3 + c % 3)] = from[i];
      }
    }
    return {p.name, from_vector<float>({s[0], frames, s[2], s[3], 3}, values, Device::cpu)};
  }
  fail("filters: ",
       layer.empty() ? "no convolution of the network sees colours" : "no layer '" + layer + "'",
       "; its convolutions: ", known.empty() ? "none" : known);
}

Tensor moving_grid(const Filters& f) {
  const int64_t scale = scale_of(f);
  const int64_t height = f.weights.shape(2) * scale, width = f.weights.shape(3) * scale;
  const auto columns = int64_t(std::ceil(std::sqrt(double(f.count()))));
  const int64_t rows = (f.count() + columns - 1) / columns;
  const Tensor picture =
      canvas(f.frames(), gap + rows * (height + gap), gap + columns * (width + gap));
  for (int64_t k = 0; k < f.count(); ++k)
    for (int64_t t = 0; t < f.frames(); ++t)
      paint(f, k, t, picture, t, gap + k / columns * (height + gap),
            gap + k % columns * (width + gap));
  return picture;
}

Tensor contact_sheet(const Filters& f) {
  const int64_t scale = scale_of(f);
  const int64_t height = f.weights.shape(2) * scale, width = f.weights.shape(3) * scale;
  const Tensor picture =
      canvas(1, gap + f.count() * (height + gap), gap + f.frames() * (width + gap));
  for (int64_t k = 0; k < f.count(); ++k)
    for (int64_t t = 0; t < f.frames(); ++t)
      paint(f, k, t, picture, 0, gap + k * (height + gap), gap + t * (width + gap));
  return picture;
}

double frame_seconds(int64_t frames) { return std::clamp(1.5 / double(frames), 0.08, 0.4); }

}  // namespace kinema::engine::report
