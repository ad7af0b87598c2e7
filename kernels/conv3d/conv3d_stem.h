#pragma once
#include "kernels/conv3d/conv3d_problem.h"

// Stems: convolutions of frames of at most 4 channels that lie side by side, so that a row of the
// filter is one run of kw*C elements of x. What their kernels and their plans share.

namespace kinema::kernels {

/// How the kernels walk. A tile is tile_h x tile_w pixels of one frame of y. A stage holds the slab
/// of x that `taps` frames of the filter reach from there: whole 16-byte chunks, zeros outside of
/// x. The depth of the product is the filter flattened, each run padded to words of 4 bytes; the
/// words of a stage are padded to steps of the tensor cores.
struct Conv3dStem {
  int tile_h = 0, tile_w = 0;                   ///< powers of two, at least 8 wide
  int64_t tiles_h = 0, tiles_w = 0, tiles = 0;  ///< of y
  int taps = 0, stages = 0;                     ///< of the filter along T; stages that it fills
  int run = 0;                                  ///< elements of a run, with what pads it
  int shift = 0;        ///< of those before the run: 0 or 1, so that runs of x begin on words
  int first = 0;        ///< where the first pixel's padded run begins in a row of the slab
  bool odd = false;     ///< pixels of 16-bit elements begin on words and between them by turns
  int words = 0;        ///< of a stage's depth: a multiple of 8
  int row_bytes = 0;    ///< of a row of the slab
  int slab_rows = 0;    ///< of a frame of the slab
  int slab_bytes = 0;   ///< of all frames of it
  int pitch_bytes = 0;  ///< of one filter in shared memory: an odd number of 16-byte chunks
};
/// For a kernel whose tiles have so many pixels and whose stages so many frames of the filter; one
/// that marches along T has one stage, a frame of x, which meets all frames of the filter.
Conv3dStem conv3d_stem(const Conv3dOptions&, const Shape& x, const Shape& w, Dtype, int pixels,
                       int taps, bool march);

/// Forward: pixels of a tile, which are the threads of its block; slabs in the pipeline; columns
/// whose sums go through the epilogue at a time.
inline constexpr int conv3d_stem_pixels = 256, conv3d_stem_slabs = 3, conv3d_stem_finish = 32;
int64_t conv3d_stem_shared_bytes(const Conv3dStem&, int columns);
/// Frames of the filter in a stage: enough work between two barriers.
int conv3d_stem_taps(const Shape& w);
/// Forward that marches along T, whose steps are then 1: the frames of the filter side by side, at
/// most so many of at most so many filters.
inline constexpr int conv3d_march_taps = 5, conv3d_march_columns = 8;
bool conv3d_stem_marches(const Conv3dOptions&, const Shape& w);

/// grad_weight: a block sums over tiles of so many pixels, which are its threads, for so many rows
/// x columns of the product. Rows are filters, columns elements of the filter: those of `taps`
/// frames of it, or, where one frame has more, of one of its `chunks`; `groups` of so many frames
/// make the filter. Few filters march along T: tiles are of frames of x, a row is one of 8 filters
/// for one of the filter's frames, so that x is read once for all of these.
struct Conv3dStemWeight {
  static constexpr int pixels = 128, rows = 64, columns = 160, slabs = 2;
  static constexpr int sum_pitch = 168;  ///< floats of a row of sums in shared memory
  static constexpr int64_t sum_bytes = rows * sum_pitch * 4;
  bool march = false;
  int groups = 0, chunks = 0;
  int64_t blocks = 0;  ///< for all filters; times the parts that the pixels are divided into
  Conv3dStem stem;
};
Conv3dStemWeight conv3d_stem_weight(const Conv3dOptions&, const Shape& x, const Shape& w, Dtype);
/// Bytes between two pixels of dy in shared memory: no lines of a fragment meet in a bank.
constexpr int conv3d_stem_weight_pitch(Dtype type) { return type == Dtype::f32 ? 288 : 144; }

}  // namespace kinema::kernels
