#include "kernels/conv3d/conv3d_device.cuh"
#include "kernels/conv3d/conv3d_stem_forward.cuh"

// Forward of a stem. Requires what conv3d_plan_stem.cpp says: x are frames of at most 4 channels,
// one group, no dilation of W. A block keeps Columns filters in shared memory and takes tiles of
// pixels in turn; slabs of x come through a pipeline that runs across tiles. A fragment of the rows
// is gathered from a slab by 4-byte loads, at places that a table says, once for all filters.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

namespace stem {

/// Stages of the filter that reach x from a tile's frame of y: from first on, before last.
struct Stages {
  int first, last;
};
template <class T>
KERNELS_INLINE Stages stages_of(const Frames<T>& x, const Tile& tile) {
  const int t = tile.t * x.step_t - x.pad_t, rest = x.frames - t, d = x.dilation_t;
  const int from = t < 0 ? (d - 1 - t) / d : 0;
  int to = rest > 0 ? (rest + d - 1) / d : 0;
  if (to > x.filter_frames) to = x.filter_frames;
  if (from >= to) return {0, 0};
  return {from / x.stem.taps, (to + x.stem.taps - 1) / x.stem.taps};
}

/// Goes through the stages of a block's tiles, ahead of those that are multiplied.
template <class T>
class Loader {
 public:
  KERNELS_INLINE Loader(const Frames<T>& x, const char* slabs)
      : x_(x), slabs_(shared_address(slabs)), index_(int(blockIdx.x) - int(gridDim.x)) {
    next_tile();
  }
  /// Begins to copy the next slab, if there is one; a group of copies in any case.
  KERNELS_INLINE void load() {
    if (index_ < x_.stem.tiles) {
      const Tile tile = x_.tile(index_);
      const int tap = stage_ * x_.stem.taps, rest = x_.filter_frames - tap;
      x_.template load<conv3d_stem_pixels>(slabs_ + uint32_t(slot_ * x_.stem.slab_bytes), tile,
                                           tile.t * x_.step_t - x_.pad_t + tap * x_.dilation_t,
                                           rest < x_.stem.taps ? rest : x_.stem.taps);
      slot_ = slot_ + 1 < conv3d_stem_slabs ? slot_ + 1 : 0;
      if (++stage_ == last_) next_tile();
    }
    cp_async_commit();
  }

 private:
  KERNELS_INLINE void next_tile() {
    Stages s{};
    do {
      index_ += int(gridDim.x);
      if (index_ >= x_.stem.tiles) return;
      s = stages_of(x_, x_.tile(index_));
    } while (s.first == s.last);
    stage_ = s.first;
    last_ = s.last;
  }

  const Frames<T>& x_;
  uint32_t slabs_;
  int index_;
  int stage_ = 0, last_ = 0, slot_ = 0;
};

template <class Product, int Columns, class T = Element<Product>>
__global__ void __launch_bounds__(conv3d_stem_pixels, 2)
    forward_kernel(const Frames<T> x, const Filters<T> w, const ForwardImage y,
                   const ForwardFinish<T> finish) {
  const Conv3dStem& s = x.stem;
  ForwardMemory shared(s, Columns, conv3d_stem_finish);
  shared.result.end = w.count;
  const int first_filter = int(blockIdx.y) * Columns;

  Loader<T> loader(x, shared.slabs);
#pragma unroll
  for (int i = 1; i < conv3d_stem_slabs; ++i) loader.load();
  make_words(x, w.run, shared.words);
  load_filters<Product, Columns>(x, w, shared.filters, [&](int row) {
    const int k = first_filter + row;
    return k < w.count ? w.data + k * w.stride[0] : nullptr;
  });
  Operands operands(x, shared.words);

  int slot = 0;
  for (int index = int(blockIdx.x); index < s.tiles; index += int(gridDim.x)) {
    const Tile tile = x.tile(index);
    const Stages stages = stages_of(x, tile);
    float sums[2][Columns / 8][4] = {};
    for (int stage = stages.first; stage < stages.last; ++stage) {
      cp_async_wait<conv3d_stem_slabs - 2>();
      __syncthreads();
      loader.load();
      operands.slab = shared.slabs + slot * s.slab_bytes;
      operands.filters = shared.filters + stage * s.words * 4;
      multiply<Product, Columns>(operands, sums);
      slot = slot + 1 < conv3d_stem_slabs ? slot + 1 : 0;
    }
    shared.result.entry = index;
    finish_tile<Columns>(x, finish, y, tile, first_filter, shared.result, sums);
  }
}

}  // namespace stem

void forward_stem(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View x, View w,
                  View y, const Conv3dEpilogue& e) {
  using namespace stem;
  if (plan.columns == conv3d_march_columns) return forward_stem_march(stream, plan, o, x, w, y, e);
  const Conv3dStem s = conv3d_stem(o, x.shape, w.shape, x.dtype, conv3d_stem_pixels,
                                   conv3d_stem_taps(w.shape), false);
  const Geometry geometry =
      forward_geometry(plan, s, (w.shape[0] + plan.columns - 1) / plan.columns);
  with_product(x.dtype, o.tf32, [&]<class Product>(Product) {
    using T = Element<Product>;
    const auto run = [&](auto kernel) {
      launch("conv3d.forward_stem", kernel, geometry, stream, Frames<T>(o, x, w, y, s),
             Filters<T>(w), ForwardImage(y), ForwardFinish<T>(y, o, e));
    };
    if (plan.columns == 32) return run(forward_kernel<Product, 32>);
    run(forward_kernel<Product, 64>);
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
