#include "kernels/pool3d/pool3d_cpu.h"
#include "kernels/base/prefetch.h"

namespace kinema::kernels {

namespace pool3d_on_cpu {
namespace {

/// One window: its first input, how far it goes, and the number of its first tap.
template <class T>
struct Box {
  Box(const Geometry& g, const Rows<const T>& x, int64_t n, int64_t ot, int64_t oh, int64_t ow)
      : frames(g.t.window[size_t(ot)].size()),
        rows(g.h.window[size_t(oh)].size()),
        columns(g.w.window[size_t(ow)].size()) {
    const int64_t t = g.t.window[size_t(ot)].first, h = g.h.window[size_t(oh)].first,
                  w = g.w.window[size_t(ow)].first;
    corner = x.at(n, t, h, w);
    tap = g.tap(g.t.tap(t, ot), g.h.tap(h, oh), g.w.tap(w, ow));
  }
  /// Asks for what windows further on will read.
  void prefetch_beyond(const Rows<const T>& x) const {
    constexpr int64_t ahead = 512;
    for (int64_t i = 0; i < frames; ++i)
      for (int64_t j = 0; j < rows; ++j)
        prefetch(corner + i * x.strides[1] + j * x.strides[2] + ahead, columns * x.channels);
  }
  int64_t frames, rows, columns;
  const T* corner;
  int64_t tap;
};

template <int L, class T, class Tap>
void max_block(const Geometry& g, const Strides& stride, const Box<T>& box, int64_t c, T* y,
               Tap* taps) {
  typename Lanes<L>::F best, v;
  Lanes<L>::load(box.corner + c, best);
  typename Lanes<L>::I where = int32_t(box.tap) - typename Lanes<L>::I{};
  for (int64_t i = 0; i < box.frames; ++i)
    for (int64_t j = 0; j < box.rows; ++j) {
      const T* from = box.corner + c + i * stride[1] + j * stride[2];
      int32_t tap = int32_t(box.tap + g.tap(i, j, 0));
      for (int64_t k = 0; k < box.columns; ++k, ++tap, from += stride[3]) {
        Lanes<L>::load(from, v);
        const auto better = (v > best) | (v != v);
        best = better ? v : best;
        where = better ? tap - typename Lanes<L>::I{} : where;
      }
    }
  Lanes<L>::store(y, best);
  if (taps) Lanes<L>::store_taps(taps, where);
}

template <class T, class Tap>
void max_forward_as(const Pool3dOptions& o, const View& x, const View& y, const View& taps) {
  const Geometry g(o, x.shape, y.shape);
  const Rows<const T> from(x);
  const Rows<T> to(y);
  const Rows<Tap> won(taps);
  each_line(y.shape, [&](int64_t n, int64_t t, int64_t h) {
    for (int64_t w = 0; w < y.shape[3]; ++w) {
      const Box<T> box(g, from, n, t, h, w);
      box.prefetch_beyond(from);
      T* row = to.at(n, t, h, w);
      Tap* tap_row = won.base ? won.at(n, t, h, w) : nullptr;
      each_block(to.channels, [&]<int L>(int64_t c) {
        max_block<L>(g, from.strides, box, c, row + c, tap_row ? tap_row + c : nullptr);
      });
      to.clear_tail(row);
      if (tap_row) won.clear_tail(tap_row);
    }
  });
}

void max_forward(Stream, const Pool3dOptions& o, View x, View y, View taps) {
  check_pool3d(o, x, y, taps);
  dispatch_activation("pool3d", x.dtype, [&]<class T>(T) {
    if (pool3d_taps(o) == Dtype::u8) return max_forward_as<T, uint8_t>(o, x, y, taps);
    max_forward_as<T, int32_t>(o, x, y, taps);
  });
}

template <int L, class T>
void average_block(const Strides& stride, const Box<T>& box, int64_t c, float share, T* y) {
  typename Lanes<L>::F sum{}, v;
  for (int64_t i = 0; i < box.frames; ++i)
    for (int64_t j = 0; j < box.rows; ++j) {
      const T* from = box.corner + c + i * stride[1] + j * stride[2];
      for (int64_t k = 0; k < box.columns; ++k, from += stride[3]) {
        Lanes<L>::load(from, v);
        sum += v;
      }
    }
  sum *= share;
  Lanes<L>::store(y, sum);
}

template <class T>
void average_forward_as(const Pool3dOptions& o, const View& x, const View& y) {
  const Geometry g(o, x.shape, y.shape);
  const Rows<const T> from(x);
  const Rows<T> to(y);
  each_line(y.shape, [&](int64_t n, int64_t t, int64_t h) {
    const float count = g.t.count[size_t(t)] * g.h.count[size_t(h)];
    for (int64_t w = 0; w < y.shape[3]; ++w) {
      const Box<T> box(g, from, n, t, h, w);
      box.prefetch_beyond(from);
      T* row = to.at(n, t, h, w);
      each_block(to.channels, [&]<int L>(int64_t c) {
        average_block<L>(from.strides, box, c, 1 / (count * g.w.count[size_t(w)]), row + c);
      });
      to.clear_tail(row);
    }
  });
}

void average_forward(Stream, const Pool3dOptions& o, View x, View y) {
  check_pool3d(o, x, y);
  dispatch_activation("pool3d", x.dtype, [&]<class T>(T) { average_forward_as<T>(o, x, y); });
}

}  // namespace
}  // namespace pool3d_on_cpu

const Pool3d pool3d_cpu = {.max_forward = pool3d_on_cpu::max_forward,
                           .max_grad = pool3d_on_cpu::max_grad,
                           .average_forward = pool3d_on_cpu::average_forward,
                           .average_grad = pool3d_on_cpu::average_grad};

}  // namespace kinema::kernels
