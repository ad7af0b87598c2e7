#include "kernels/pool3d/pool3d.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::pool3d {

/// Walks through the inputs of one window in order.
template <class T, int N>
class Walk {
 public:
  KERNELS_INLINE Walk(const Geometry3d& g, const Place& o, const Window& window,
                      const Rows<const T>& x)
      : from_(x.at({o.n, window.t.first, window.h.first, window.w.first, o.c})),
        next_(x.w),
        next_row_(x.h - (window.w.size() - 1) * x.w),
        next_frame_(x.t - (window.h.size() - 1) * x.h - (window.w.size() - 1) * x.w),
        tap_(window.tap),
        next_row_tap_(1 + g.w.kernel - window.w.size()),
        next_frame_tap_(next_row_tap_ + (g.h.kernel - window.h.size()) * g.w.kernel),
        rows_(window.h.size()),
        columns_(window.w.size()),
        left_(window.t.size() * rows_ * columns_) {}

  /// f(pack, tap) for each. In one flat loop, so that four loads are under way whatever the
  /// window's shape.
  template <class F>
  KERNELS_INLINE void each(F f) {
    while (left_ >= 4) batch<4>(f);
    if (left_ & 2) batch<2>(f);
    if (left_ & 1) batch<1>(f);
  }

 private:
  template <int Count, class F>
  KERNELS_INLINE void batch(F f) {
    Pack<T, N> packs[Count];
    int taps[Count];
#pragma unroll
    for (int j = 0; j < Count; ++j) {
      packs[j] = load_pack<N>(from_);
      taps[j] = tap_;
      step();
    }
#pragma unroll
    for (int j = 0; j < Count; ++j) f(packs[j], taps[j]);
    left_ -= Count;
  }
  KERNELS_INLINE void step() {
    const bool row_ends = ++column_ == columns_;
    row_ += row_ends;
    column_ = row_ends ? 0 : column_;
    const bool frame_ends = row_ == rows_;
    row_ = frame_ends ? 0 : row_;
    from_ += frame_ends ? next_frame_ : row_ends ? next_row_ : next_;
    tap_ += frame_ends ? next_frame_tap_ : row_ends ? next_row_tap_ : 1;
  }

  const T* from_;
  int64_t next_, next_row_, next_frame_;
  int tap_, next_row_tap_, next_frame_tap_;
  int rows_, columns_, left_, row_ = 0, column_ = 0;
};

template <class T, int N>
__global__ void __launch_bounds__(threads, 4)
    max_forward_kernel(Geometry3d g, Places places, Rows<const T> x, Rows<T> y, Taps taps) {
  for (int64_t i = first_index(); i < places.count(); i += index_step()) {
    const Place o = places(i);
    const Window window = g.window(o);
    float best[N];
    int where[N];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      best[k] = -INFINITY;
      where[k] = window.tap;
    }
    Walk<T, N>(g, o, window, x).each([&](const Pack<T, N>& pack, int tap) {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float v = to_float(pack.lane[k]);
        const bool better = v > best[k] || v != v;
        best[k] = better ? v : best[k];
        where[k] = better ? tap : where[k];
      }
    });
    T* to = y.at(o);
    store_floats<N>(to, best);
    y.template clear_rest<N>(o, to);
    if (taps.given()) taps.template store<N>(o, where);
  }
}

template <class T, int N>
__global__ void __launch_bounds__(threads, 4)
    average_forward_kernel(Geometry3d g, Places places, Rows<const T> x, Rows<T> y) {
  for (int64_t i = first_index(); i < places.count(); i += index_step()) {
    const Place o = places(i);
    float sum[N] = {};
    Walk<T, N>(g, o, g.window(o), x).each([&](const Pack<T, N>& pack, int) {
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += to_float(pack.lane[k]);
    });
    const float share = g.share(o);
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] *= share;
    T* to = y.at(o);
    store_floats<N>(to, sum);
    y.template clear_rest<N>(o, to);
  }
}

void max_forward(Stream stream, const Pool3dOptions& o, View x, View y, View taps) {
  check_pool3d(o, x, y, taps);
  if (!y.size()) return;
  dispatch_activation("pool3d", x.dtype, [&]<class T>(T) {
    const auto run = [&](auto kernel, int lanes) {
      const Places places(y.shape, lanes);
      launch("pool3d.max_forward", kernel,
             {.grid = blocks_for(places.count(), threads), .block = threads}, stream,
             Geometry3d(o, x.shape, y.shape), places, Rows<const T>(x), Rows<T>(y),
             Taps(taps, lanes));
    };
    if (in_packs(x) && in_packs(y))
      run(max_forward_kernel<T, pack_lanes<T>>, pack_lanes<T>);
    else
      run(max_forward_kernel<T, 1>, 1);
  });
}

void average_forward(Stream stream, const Pool3dOptions& o, View x, View y) {
  check_pool3d(o, x, y);
  if (!y.size()) return;
  dispatch_activation("pool3d", x.dtype, [&]<class T>(T) {
    const auto run = [&](auto kernel, int lanes) {
      const Places places(y.shape, lanes);
      launch("pool3d.average_forward", kernel,
             {.grid = blocks_for(places.count(), threads), .block = threads}, stream,
             Geometry3d(o, x.shape, y.shape), places, Rows<const T>(x), Rows<T>(y));
    };
    if (in_packs(x) && in_packs(y))
      run(average_forward_kernel<T, pack_lanes<T>>, pack_lanes<T>);
    else
      run(average_forward_kernel<T, 1>, 1);
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::pool3d

namespace kinema::kernels {

const Pool3d KERNELS_DEVICE(pool3d) = {.max_forward = device::pool3d::max_forward,
                                       .max_grad = device::pool3d::max_grad,
                                       .average_forward = device::pool3d::average_forward,
                                       .average_grad = device::pool3d::average_grad};

}  // namespace kinema::kernels
