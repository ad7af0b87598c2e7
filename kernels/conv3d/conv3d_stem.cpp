#include "kernels/conv3d/conv3d_stem.h"
#include <algorithm>
#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/conv3d_planner.h"

namespace kinema::kernels {

namespace {

// More shared memory than any GPU has, and tiles that kernels count in 32 bits.
constexpr int64_t most_shared = 1 << 20, most_tiles = 1 << 30;

/// The tile's shape is the one that moves the fewest bytes: those of all slabs, and for each pixel
/// of a tile, in the image or not, 128 of y.
void choose_tile(Conv3dStem& s, const Shape& y, int pixels, const auto& set_slab) {
  double least = 0;
  for (int width = 8; width <= 64; width *= 2) {
    Conv3dStem t = s;
    t.tile_w = width;
    t.tile_h = pixels / width;
    t.tiles_h = ceil_div(y[2], t.tile_h);
    t.tiles_w = ceil_div(y[3], t.tile_w);
    t.tiles = y[0] * y[1] * t.tiles_h * t.tiles_w;
    if (t.tiles > most_tiles || !set_slab(t)) continue;
    const double bytes = double(t.tiles) * (128. * pixels + double(t.stages) * t.slab_bytes);
    if (s.tile_w && bytes >= least) continue;
    least = bytes;
    s = t;
  }
}

/// Filters that a block keeps: those of a tile's columns; marching, one for each of its taps.
int64_t filter_rows(int columns) {
  return columns == conv3d_march_columns ? columns * conv3d_march_taps : columns;
}

}  // namespace

Conv3dStem conv3d_stem(const Conv3dOptions& o, const Shape& x, const Shape& w, Dtype type,
                       int pixels, int taps, bool march) {
  const int64_t size = size_of(type), lanes = 16 / size, word = 4 / size, channels = x[4];
  const int64_t step = o.stride[2] * channels;
  // Runs begin (-pad * C) modulo 16 bytes into a chunk, whatever the tile: its width is a multiple
  // of 8 pixels.
  const int64_t start = (lanes - o.pad_front[2] * channels % lanes) % lanes;
  Conv3dStem s{.taps = taps, .stages = march ? 1 : int(ceil_div(w[1], taps))};
  s.odd = word == 2 && step % 2;
  s.shift = word == 2 && !s.odd && start % 2;
  s.run = int(round_up(s.shift + w[3] * channels, word));
  s.first = int(start) - s.shift;
  s.words = int(round_up(taps * w[2] * s.run / word, 8));
  s.pitch_bytes = int(s.stages * s.words * 4 + 16);
  choose_tile(s, conv3d_output(o, x, w), pixels, [&](Conv3dStem& t) {
    const int64_t elements = s.first + (t.tile_w - 1) * step + s.run + (s.odd ? word : 0);
    const int64_t rows = (t.tile_h - 1) * o.stride[1] + (w[2] - 1) * o.dilation[1] + 1;
    const int64_t row_bytes = round_up(elements * size, 16), bytes = taps * rows * row_bytes;
    if (bytes > most_shared) return false;
    t.row_bytes = int(row_bytes);
    t.slab_rows = int(rows);
    t.slab_bytes = int(bytes);
    return true;
  });
  return s;
}

int64_t conv3d_stem_shared_bytes(const Conv3dStem& s, int columns) {
  const int64_t filters = filter_rows(columns) * int64_t(s.pitch_bytes);
  const int64_t slabs = int64_t(conv3d_stem_slabs) * s.slab_bytes, pixels = conv3d_stem_pixels;
  // The epilogue's: sums of all pixels, which pixels, a sum a column and warp.
  const int64_t finished = std::min(columns, conv3d_stem_finish);
  return s.words * 8 + filters + slabs + finished * (pixels + pixels / 32) * 4 + pixels * 8;
}

int conv3d_stem_taps(const Shape& w) {
  const int64_t depth = w[2] * w[3] * w[4];
  return int(std::clamp<int64_t>(ceil_div(80, std::max<int64_t>(depth, 1)), 1, w[1]));
}

bool conv3d_stem_marches(const Conv3dOptions& o, const Shape& w) {
  return w[0] <= conv3d_march_columns && w[1] > 1 && w[1] <= conv3d_march_taps &&
         o.stride[0] == 1 && o.dilation[0] == 1;
}

Conv3dStemWeight conv3d_stem_weight(const Conv3dOptions& o, const Shape& x, const Shape& w,
                                    Dtype type) {
  Conv3dStemWeight g;
  const int64_t depth = w[2] * w[3] * w[4];
  g.march = w[0] <= 8 && w[1] > 1 && w[1] * 8 <= g.rows && o.stride[0] == 1 && o.dilation[0] == 1;
  const int64_t taps = g.march ? 1 : std::clamp<int64_t>(g.columns / depth, 1, w[1]);
  g.stem = conv3d_stem(o, x, w, type, g.pixels, int(taps), g.march);
  if (g.march) g.stem.tiles = x[0] * x[1] * g.stem.tiles_h * g.stem.tiles_w;
  g.groups = g.stem.stages;
  g.chunks = int(ceil_div(taps * depth, g.columns));
  g.blocks = ceil_div(w[0], g.rows) * g.groups * g.chunks;
  return g;
}

}  // namespace kinema::kernels
