#include "kernels/conv3d/conv3d_halo.h"

namespace kinema::kernels {

namespace {

constexpr int most_window = 7;

Conv3dHaloAxis axis_of(const Conv3dGatherAxis& g) {
  const int last = g.taps - 1;
  const bool back = g.tap_step < 0;
  return {.results = g.results,
          .sources = g.sources,
          .first = g.first + (back ? last * g.tap_step : 0),
          .taps = g.taps,
          .dilation = back ? -g.tap_step : g.tap_step,
          .filter_first = g.filter_first + (back ? last * g.filter_step : 0),
          .filter_step = back ? -g.filter_step : g.filter_step};
}

/// h and w as one axis: their tap is one and meets no padding. Frames of at most 4 channels have
/// padded rows.
void merge(Conv3dHalo& halo) {
  Conv3dHaloAxis &h = halo.axis[1], &w = halo.axis[2];
  const auto plain = [](const Conv3dHaloAxis& a) {
    return a.taps == 1 && a.first == 0 && a.results == a.sources;
  };
  const int64_t pixels = int64_t(h.results) * w.results;
  if (!plain(h) || !plain(w) || halo.depth <= 4 || halo.columns <= 4 || pixels > INT32_MAX / 2)
    return;
  w.results = w.sources = int(pixels);
  h.results = h.sources = 1;
  halo.merged = true;
}

}  // namespace

Conv3dHalo conv3d_halo(Conv3dPass pass, const Conv3dOptions& o, const Shape& x, const Shape& w,
                       const Shape& y) {
  const bool forward = pass == Conv3dPass::forward;
  constexpr int phase[3] = {};
  const Conv3dGather g =
      forward ? conv3d_forward_gather(o, x, w, y) : conv3d_grad_input_gather(o, x, w, y, phase);
  Conv3dHalo halo;
  halo.images = x[0];
  halo.depth = forward ? x[4] : y[4];
  halo.columns = forward ? y[4] : x[4];
  for (int i = 0; i < 3; ++i) halo.axis[i] = axis_of(g.axis[i]);
  merge(halo);
  return halo;
}

Conv3dHaloWindow conv3d_halo_window(const Conv3dHalo& halo, const std::array<int, 3>& box,
                                    int columns) {
  const auto slides = [&](int i) {
    const Conv3dHaloAxis& a = halo.axis[i];
    return a.taps > 1 && a.taps <= most_window && a.dilation == 1 && box[size_t(i)] % 4 == 0;
  };
  if (columns > 32) return {};
  if (box[1] * box[2] == 16 && slides(0)) return {halo.axis[0].taps, 0};
  if (box[2] == 16 && slides(1)) return {halo.axis[1].taps, 1};
  return {};
}

}  // namespace kinema::kernels
