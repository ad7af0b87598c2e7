#include "kernels/conv3d/conv3d_device.cuh"
#include "kernels/conv3d/conv3d_stem_forward.cuh"

// Forward of a stem of at most 8 filters, as SlowFast's fast pathway has. Requires what
// conv3d_plan_stem.cpp says: beside that of conv3d_stem.cu, 2 to 5 frames of the filter, stride and
// dilation of T 1. So few columns would leave tensor cores idle while fragments of x are gathered:
// here all frames of the filter are side by side, so that a frame of x is gathered once for all of
// them. A block marches along T; its columns are frames of y in the making.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

namespace stem {

constexpr int march_columns = conv3d_march_taps * conv3d_march_columns;

/// Frames first .. last-1 of y at one place: a run of a block's tiles.
struct Segment {
  Tile tile;
  int first, last;
};
template <class T>
KERNELS_INLINE Segment segment_at(const Frames<T>& x, int position, int end) {
  const int frames = x.tiles_t.divisor(), place = x.tiles_t.quotient(position);
  const int row = x.tiles_w.quotient(place), n = x.tiles_h.quotient(row);
  const int first = position - place * frames, rest = end - position;
  return {.tile = {.n = n,
                   .t = first,
                   .h = (row - n * x.tiles_h.divisor()) * x.stem.tile_h,
                   .w = (place - row * x.tiles_w.divisor()) * x.stem.tile_w},
          .first = first,
          .last = frames - first < rest ? frames : first + rest};
}

/// Goes through the frames of x of a block's segments, ahead of those that are multiplied.
template <class T>
class MarchLoader {
 public:
  KERNELS_INLINE MarchLoader(const Frames<T>& x, const char* slabs, int first, int end)
      : x_(x), slabs_(shared_address(slabs)), next_(first), end_(end) {
    next_segment();
  }
  KERNELS_INLINE void load() {
    if (frame_ < last_) {
      x_.template load<conv3d_stem_pixels>(slabs_ + uint32_t(slot_ * x_.stem.slab_bytes), tile_,
                                           frame_, 1);
      slot_ = slot_ + 1 < conv3d_stem_slabs ? slot_ + 1 : 0;
      if (++frame_ == last_) next_segment();
    }
    cp_async_commit();
  }

 private:
  KERNELS_INLINE void next_segment() {
    while (next_ < end_) {
      const Segment s = segment_at(x_, next_, end_);
      next_ += s.last - s.first;
      tile_ = s.tile;
      frame_ = s.first > x_.pad_t ? s.first - x_.pad_t : 0;
      last_ = s.last - x_.pad_t + x_.filter_frames - 1;
      if (last_ > x_.frames) last_ = x_.frames;
      if (frame_ < last_) return;
    }
  }

  const Frames<T>& x_;
  uint32_t slabs_;
  int next_, end_;
  Tile tile_{};
  int frame_ = 0, last_ = 0, slot_ = 0;
};

template <class Product, class T = Element<Product>>
__global__ void __launch_bounds__(conv3d_stem_pixels, 2)
    forward_march_kernel(const Frames<T> x, const Filters<T> w, const ForwardImage y,
                         const ForwardFinish<T> finish) {
  const Conv3dStem& s = x.stem;
  ForwardMemory shared(s, march_columns, conv3d_march_columns);
  shared.result.end = w.count;
  const int end = int(s.tiles * (blockIdx.x + 1) / gridDim.x);
  int position = int(s.tiles * blockIdx.x / gridDim.x);

  MarchLoader<T> loader(x, shared.slabs, position, end);
#pragma unroll
  for (int i = 1; i < conv3d_stem_slabs; ++i) loader.load();
  make_words(x, w.run, shared.words);
  // The last of the filter's frames is the last of the columns, whichever number it has.
  load_filters<Product, march_columns>(x, w, shared.filters, [&](int row) {
    const int k = row % 8, tap = row / 8 - (conv3d_march_taps - x.filter_frames);
    return tap >= 0 && k < w.count ? w.data + k * w.stride[0] + tap * w.stride[1] : nullptr;
  });
  Operands operands(x, shared.words);
  operands.filters = shared.filters;

  int slot = 0;
  while (position < end) {
    Segment segment = segment_at(x, position, end);
    float sums[2][conv3d_march_taps][4] = {};
    // Frame f of x is the last that reaches frame f + pad_t - (filter_frames - 1) of y.
    for (int t = segment.first - (x.filter_frames - 1); t < segment.last; ++t) {
      const int frame = t - x.pad_t + x.filter_frames - 1;
      if (frame >= 0 && frame < x.frames) {
        cp_async_wait<conv3d_stem_slabs - 2>();
        __syncthreads();
        loader.load();
        operands.slab = shared.slabs + slot * s.slab_bytes;
        multiply<Product, march_columns>(operands, sums);
        slot = slot + 1 < conv3d_stem_slabs ? slot + 1 : 0;
      }
      if (t >= segment.first) {
        segment.tile.t = t;
        float done[2][1][4];
#pragma unroll
        for (int e = 0; e < 8; ++e)
          done[e / 4][0][e % 4] = sums[e / 4][conv3d_march_taps - 1][e % 4];
        shared.result.entry = position + t - segment.first;
        finish_tile<conv3d_march_columns>(x, finish, y, segment.tile, 0, shared.result, done);
      }
#pragma unroll
      for (int j = conv3d_march_taps - 1; j >= 0; --j)
#pragma unroll
        for (int e = 0; e < 8; ++e) sums[e / 4][j][e % 4] = j > 0 ? sums[e / 4][j - 1][e % 4] : 0;
    }
    position += segment.last - segment.first;
  }
}

}  // namespace stem

void forward_stem_march(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View x,
                        View w, View y, const Conv3dEpilogue& e) {
  using namespace stem;
  const Conv3dStem s = conv3d_stem(o, x.shape, w.shape, x.dtype, conv3d_stem_pixels, 1, true);
  with_product(x.dtype, o.tf32, [&]<class Product>(Product) {
    using T = Element<Product>;
    launch("conv3d.forward_stem_march", forward_march_kernel<Product>, forward_geometry(plan, s, 1),
           stream, Frames<T>(o, x, w, y, s), Filters<T>(w), ForwardImage(y),
           ForwardFinish<T>(y, o, e));
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
