#pragma once
#include "kernels/conv3d/conv3d_stem.h"
#include "kernels/device/async_copy.h"
#include "kernels/device/device.h"
#include "kernels/device/launch.h"

// What the stem kernels share: x tile by tile, as slabs in shared memory.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d::stem {

/// Products of f32 as they are, by FMA; float itself stands for TF32 on tensor cores.
struct Exact {};
template <class Product>
using Element = std::conditional_t<std::is_same_v<Product, Exact>, float, Product>;

/// f(Product()) by type and whether TF32 is allowed.
template <class F>
void with_product(Dtype type, bool tf32, const F& f) {
  if (type == Dtype::bf16) return f(bf16());
  if (type == Dtype::f16) return f(f16());
  if (tf32) return f(float());
  f(Exact());
}

/// The first pixel of a tile of y.
struct Tile {
  int n, t, h, w;
};

/// x as a kernel reads it, tile by tile.
template <class T>
struct Frames {
  Frames(const Conv3dOptions& o, const View& x, const View& w, const View& y, const Conv3dStem& s)
      : stem(s),
        data(static_cast<const T*>(x.data)),
        stride{x.stride(0), x.stride(1), x.stride(2)},
        frames(int(x.shape[1])),
        height(int(x.shape[2])),
        elements(int(x.shape[3] * x.shape[4])),
        filter_frames(int(w.shape[1])),
        filter_rows(int(w.shape[2])),
        step_t(int(o.stride[0])),
        step_h(int(o.stride[1])),
        step_w(int(o.stride[2] * x.shape[4])),
        pad_t(int(o.pad_front[0])),
        pad_h(int(o.pad_front[1])),
        left(int(o.pad_front[2] * x.shape[4]) + s.first + s.shift),
        dilation_t(int(o.dilation[0])),
        dilation_h(int(o.dilation[1])),
        tiles_w(s.tiles_w),
        tiles_h(s.tiles_h),
        tiles_t(y.shape[1]),
        chunks(s.row_bytes / 16),
        slab_rows(s.slab_rows) {}

  /// Tile `index` where w runs fastest, then h, t, n.
  KERNELS_INLINE Tile tile(int index) const {
    const int row = tiles_w.quotient(index), frame = tiles_h.quotient(row);
    const int n = tiles_t.quotient(frame);
    return {n, frame - n * tiles_t.divisor(), (row - frame * tiles_h.divisor()) * stem.tile_h,
            (index - row * tiles_w.divisor()) * stem.tile_w};
  }
  /// Bytes from a slab's start to the run of the tile's pixel `p` for the filter's first row.
  KERNELS_INLINE int run_of(int p) const {
    const int h = p / stem.tile_w, w = p - h * stem.tile_w;
    return h * step_h * stem.row_bytes + (w * step_w + stem.first) * int(sizeof(T));
  }
  /// Begins to copy the slab of a tile: `taps` frames from frame t of x on, zeros behind them.
  template <int Threads>
  KERNELS_INLINE void load(uint32_t slab, const Tile& tile, int t, int taps) const {
    const int count = stem.slab_bytes / 16, from = tile.w * step_w - left;
    const T* const clip = data + tile.n * stride[0];
    for (int i = int(threadIdx.x); i < count; i += Threads) {
      const int row = chunks.quotient(i), f = slab_rows.quotient(row);
      const int at = from + (i - row * chunks.divisor()) * pack_lanes<T>;
      const int frame = t + f * dilation_t;
      const int h = tile.h * step_h - pad_h + row - f * slab_rows.divisor();
      const bool inside = f < taps && frame >= 0 && frame < frames && h >= 0 && h < height &&
                          at >= 0 && at < elements;
      const T* source = clip + (inside ? frame * stride[1] + h * stride[2] + at : 0);
      const int rest = (elements - at) * int(sizeof(T));
      cp_async<16>(slab + uint32_t(i) * 16, source, inside ? (rest < 16 ? rest : 16) : 0);
    }
  }

  Conv3dStem stem;
  const T* data;
  int64_t stride[3];  ///< of n, t, h
  int frames, height, elements, filter_frames, filter_rows;
  int step_t, step_h, step_w, pad_t, pad_h;
  int left;  ///< elements that a row of the slab begins before its tile's first pixel
  int dilation_t, dilation_h;
  SmallDivisor tiles_w, tiles_h, tiles_t, chunks, slab_rows;
};

/// w as it is read: filters of runs of `run` elements that lie side by side.
template <class T>
struct Filters {
  explicit Filters(const View& w)
      : data(static_cast<const T*>(w.data)),
        stride{w.stride(0), w.stride(1), w.stride(2)},
        count(int(w.shape[0])),
        run(int(w.shape[3] * w.shape[4])) {}
  const T* data;
  int64_t stride[3];  ///< of filters, frames, rows
  int count, run;
};

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d::stem
