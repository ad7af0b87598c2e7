#include "kernels/pool3d/pool3d.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::pool3d {

/// What one window hands to its inputs: dy where the taps name the input, or, where there are no
/// taps, an equal part of every dy.
template <class T, int N>
struct Handed {
  KERNELS_INLINE Handed(const Geometry3d& g, const Rows<const T>& dy, const Taps& taps,
                        const Place& o)
      : average(!taps.given()) {
    load_floats<N>(dy.at(o), value);
    if (!average) {
      taps.template load<N>(o, won);
      return;
    }
    const float share = g.share(o);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      value[k] *= share;
      won[k] = -2;
    }
  }
  /// Adds to the input that lies at `tap`, which is -1 for inputs behind the window.
  KERNELS_INLINE void add_to(float (&sum)[N], int tap) const {
    const bool all = average && tap >= 0;
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] += all || won[k] == tap ? value[k] : 0.0f;
  }
  float value[N];
  int won[N];
  bool average;
};

/// Windows that do not overlap: a thread reads one dy and writes all of dx from its window up to
/// the next ones, so that each is read once and each written once.
template <class T, int N>
__global__ void __launch_bounds__(threads, 4)
    grad_disjoint_kernel(Geometry3d g, Places places, Rows<const T> dy, Taps taps, Rows<T> dx,
                         bool accumulate) {
  for (int64_t i = first_index(); i < places.count(); i += index_step()) {
    const Place o = places(i);
    const Handed<T, N> handed(g, dy, taps, o);
    const Span ts = g.t.region(o.t), hs = g.h.region(o.h), ws = g.w.region(o.w);
    for (int t = ts.first; t < ts.end; ++t)
      for (int h = hs.first; h < hs.end; ++h) {
        const int a = g.t.tap(t, o.t), b = g.h.tap(h, o.h);
        const bool inside = a < g.t.kernel && b < g.h.kernel;
        Place at{o.n, t, h, ws.first, o.c};
        T* to = dx.at(at);
        for (; at.w < ws.end; ++at.w, to += dx.w) {
          const int c = g.w.tap(at.w, o.w);
          float sum[N] = {};
          if (accumulate) load_floats<N>(to, sum);
          handed.add_to(sum, inside && c < g.w.kernel ? g.tap(a, b, c) : -1);
          store_floats<N>(to, sum);
          dx.template clear_rest<N>(at, to);
        }
      }
  }
}

/// Windows that overlap: a thread makes one pack of dx, the sum over the windows that hold it in
/// their order.
template <class T, int N>
__global__ void __launch_bounds__(threads, 4)
    grad_overlapping_kernel(Geometry3d g, Places places, Rows<const T> dy, Taps taps, Rows<T> dx,
                            bool accumulate) {
  for (int64_t i = first_index(); i < places.count(); i += index_step()) {
    const Place in = places(i);
    const Span ts = g.t.cover(in.t), hs = g.h.cover(in.h), ws = g.w.cover(in.w);
    T* to = dx.at(in);
    float sum[N] = {};
    if (accumulate) load_floats<N>(to, sum);
    for (int ot = ts.first; ot < ts.end; ++ot)
      for (int oh = hs.first; oh < hs.end; ++oh)
        for (int ow = ws.first; ow < ws.end; ++ow) {
          const Handed<T, N> handed(g, dy, taps, {in.n, ot, oh, ow, in.c});
          handed.add_to(sum, g.tap(g.t.tap(in.t, ot), g.h.tap(in.h, oh), g.w.tap(in.w, ow)));
        }
    store_floats<N>(to, sum);
    dx.template clear_rest<N>(in, to);
  }
}

/// Either gradient: of the average where `taps` is not given.
void grad(const char* name, Stream stream, const Pool3dOptions& o, View dy, View taps, View dx,
          bool accumulate) {
  if (!dx.size()) return;
  const Geometry3d g(o, dx.shape, dy.shape);
  const bool disjoint = g.disjoint();
  dispatch_activation("pool3d", dx.dtype, [&]<class T>(T) {
    const auto run = [&](auto kernel, int lanes) {
      const Places places(disjoint ? dy.shape : dx.shape, lanes);
      launch(name, kernel, {.grid = blocks_for(places.count(), threads), .block = threads}, stream,
             g, places, Rows<const T>(dy), Taps(taps, lanes), Rows<T>(dx), accumulate);
    };
    constexpr int lanes = pack_lanes<T>;
    if (in_packs(dy) && in_packs(dx))
      run(disjoint ? grad_disjoint_kernel<T, lanes> : grad_overlapping_kernel<T, lanes>, lanes);
    else
      run(disjoint ? grad_disjoint_kernel<T, 1> : grad_overlapping_kernel<T, 1>, 1);
  });
}

void max_grad(Stream stream, const Pool3dOptions& o, View dy, View taps, View dx, bool accumulate) {
  check_pool3d(o, dx, dy, taps);
  check(bool(taps), "pool3d: the gradient of the maximum needs the taps");
  grad("pool3d.max_grad", stream, o, dy, taps, dx, accumulate);
}

void average_grad(Stream stream, const Pool3dOptions& o, View dy, View dx, bool accumulate) {
  check_pool3d(o, dx, dy);
  grad("pool3d.average_grad", stream, o, dy, {}, dx, accumulate);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::pool3d
