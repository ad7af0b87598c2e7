#include <type_traits>
#include "kernels/pool3d/pool3d_cpu.h"

namespace kinema::kernels::pool3d_on_cpu {

namespace {

/// Either gradient: of the average where Tap is void, else of the maximum.
template <class T, class Tap>
struct Grad {
  using Stored = std::conditional_t<std::is_void_v<Tap>, uint8_t, Tap>;
  static constexpr bool average = std::is_void_v<Tap>;

  Grad(const Pool3dOptions& o, const View& dy_, const View& taps_, const View& dx_, bool add_)
      : g(o, dx_.shape, dy_.shape),
        dy(dy_),
        taps(taps_),
        dx(dx_),
        columns(dx_.shape[3]),
        add(add_) {}

  /// One line of dx where windows do not overlap: window by window, and zeros between them.
  void disjoint_line(int64_t n, int64_t t, int64_t h) const {
    const Span ts = g.t.cover[size_t(t)], hs = g.h.cover[size_t(h)];
    int64_t done = 0;
    for (int64_t ow = 0; ts.size() > 0 && hs.size() > 0 && ow < int64_t(g.w.window.size()); ++ow) {
      const Span ws = g.w.window[size_t(ow)];
      clear(n, t, h, {done, ws.first});
      window(n, t, h, ws, ts.first, hs.first, ow);
      done = ws.end;
    }
    clear(n, t, h, {done, columns});
  }

  /// One row of dx: the sum over all windows that hold it, in their order.
  void overlapping_row(int64_t n, int64_t t, int64_t h, int64_t w) const {
    T* row = dx.at(n, t, h, w);
    each_block(dx.channels, [&]<int L>(int64_t c) {
      typename Lanes<L>::F sum{};
      if (add) Lanes<L>::load(row + c, sum);
      const Span ts = g.t.cover[size_t(t)], hs = g.h.cover[size_t(h)], ws = g.w.cover[size_t(w)];
      for (int64_t ot = ts.first; ot < ts.end; ++ot)
        for (int64_t oh = hs.first; oh < hs.end; ++oh)
          for (int64_t ow = ws.first; ow < ws.end; ++ow) {
            const int64_t tap = g.tap(g.t.tap(t, ot), g.h.tap(h, oh), g.w.tap(w, ow));
            Handed<L>(*this, n, ot, oh, ow, c).add_to(sum, tap);
          }
      Lanes<L>::store(row + c, sum);
    });
    dx.clear_tail(row);
  }

  Geometry g;
  Rows<const T> dy;
  Rows<const Stored> taps;
  Rows<T> dx;
  int64_t columns;
  bool add;

 private:
  /// What one window hands to its inputs: dy where the taps name the input, or an equal part of
  /// every dy.
  template <int L>
  struct Handed {
    Handed(const Grad& of, int64_t n, int64_t t, int64_t h, int64_t w, int64_t c) {
      Lanes<L>::load(of.dy.at(n, t, h, w) + c, dy);
      if constexpr (average) {
        dy *= 1 / (of.g.t.count[size_t(t)] * of.g.h.count[size_t(h)] * of.g.w.count[size_t(w)]);
      } else {
        Lanes<L>::load_taps(of.taps.at(n, t, h, w) + c, won);
      }
    }
    void add_to(typename Lanes<L>::F& sum, int64_t tap) const {
      if constexpr (average) {
        sum += dy;
      } else {
        sum += won == int32_t(tap) ? dy : typename Lanes<L>::F{};
      }
    }
    typename Lanes<L>::F dy;
    typename Lanes<L>::I won;
  };

  /// Columns ws of one line of dx, which only window (ot,oh,ow) holds.
  void window(int64_t n, int64_t t, int64_t h, Span ws, int64_t ot, int64_t oh, int64_t ow) const {
    const int64_t tap = g.tap(g.t.tap(t, ot), g.h.tap(h, oh), g.w.tap(ws.first, ow));
    T* row = dx.at(n, t, h, ws.first);
    const int64_t pitch = dx.strides[3], count = ws.size();
    const bool adding = add;
    each_block(dx.channels, [&]<int L>(int64_t c) {
      const Handed<L> handed(*this, n, ot, oh, ow, c);
      T* to = row + c;
      for (int64_t k = tap; k < tap + count; ++k, to += pitch) {
        typename Lanes<L>::F sum{};
        if (adding) Lanes<L>::load(to, sum);
        handed.add_to(sum, k);
        Lanes<L>::store(to, sum);
      }
    });
    for (int64_t k = 0; dx.tail && k < ws.size(); ++k) dx.clear_tail(row + k * pitch);
  }

  void clear(int64_t n, int64_t t, int64_t h, Span ws) const {
    for (int64_t w = ws.first; w < ws.end; ++w) {
      if (add) {
        dx.clear_tail(dx.at(n, t, h, w));
      } else {
        dx.clear(dx.at(n, t, h, w));
      }
    }
  }
};

template <class T, class Tap>
void grad_as(const Pool3dOptions& o, const View& dy, const View& taps, const View& dx, bool add) {
  const Grad<T, Tap> grad(o, dy, taps, dx, add);
  const bool disjoint = grad.g.disjoint();
  each_line(dx.shape, [&](int64_t n, int64_t t, int64_t h) {
    if (disjoint) return grad.disjoint_line(n, t, h);
    for (int64_t w = 0; w < dx.shape[3]; ++w) grad.overlapping_row(n, t, h, w);
  });
}

}  // namespace

void max_grad(Stream, const Pool3dOptions& o, View dy, View taps, View dx, bool accumulate) {
  check_pool3d(o, dx, dy, taps);
  check(bool(taps), "pool3d: the gradient of the maximum needs the taps");
  dispatch_activation("pool3d", dx.dtype, [&]<class T>(T) {
    if (taps.dtype == Dtype::u8) return grad_as<T, uint8_t>(o, dy, taps, dx, accumulate);
    grad_as<T, int32_t>(o, dy, taps, dx, accumulate);
  });
}

void average_grad(Stream, const Pool3dOptions& o, View dy, View dx, bool accumulate) {
  check_pool3d(o, dx, dy);
  dispatch_activation("pool3d", dx.dtype,
                      [&]<class T>(T) { grad_as<T, void>(o, dy, {}, dx, accumulate); });
}

}  // namespace kinema::kernels::pool3d_on_cpu
