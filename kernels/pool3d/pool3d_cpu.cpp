// Bound by memory. Forward reads x once and writes y and taps; the gradients write each element of
// dx once and find dy and taps, which are smaller by the window, in the cache.
#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>
#include "kernels/base/parallel.h"
#include "kernels/pool3d/pool3d.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace kinema::kernels {

namespace {

constexpr int64_t grain = 16384;                   // elements a core takes at least
constexpr int widest = __BIGGEST_ALIGNMENT__ / 4;  // floats in the widest register

/// The compiler's own vectors of `bytes`; GCC 12 misreads a size that depends on a template.
template <int bytes>
struct Vector;
#define KINEMA_VECTOR(bytes)                               \
  template <>                                              \
  struct Vector<bytes> {                                   \
    typedef float F __attribute__((vector_size(bytes)));   \
    typedef int32_t I __attribute__((vector_size(bytes))); \
  }
KINEMA_VECTOR(4);
KINEMA_VECTOR(16);
KINEMA_VECTOR(32);
KINEMA_VECTOR(64);
#undef KINEMA_VECTOR

/// L channels at once. Vectors go by reference: by value their calling convention would depend on
/// the instruction set.
template <int L>
struct Lanes {
  using F = typename Vector<4 * L>::F;
  using I = typename Vector<4 * L>::I;

  template <class V, class T>
  static void load(const T* from, V& v) {
    std::memcpy(&v, from, sizeof(V));
  }
  static void store_taps(int32_t* to, const I& v) { std::memcpy(to, &v, sizeof(v)); }
  static void store_taps(uint8_t* to, const I& v) {
    int32_t wide[L];
    std::memcpy(wide, &v, sizeof(v));
    for (int i = 0; i < L; ++i) to[i] = uint8_t(wide[i]);
  }

  static void load_taps(const int32_t* from, I& to) { load(from, to); }
  /// GCC 12 makes L steps, or a trip through memory, of any way to write this without intrinsics.
  static void load_taps(const uint8_t* from, I& to) {
#ifdef __AVX512F__
    if constexpr (L == 16)
      return void(to = I(_mm512_maskz_cvtepu8_epi32(
                      0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)))));
#endif
#ifdef __AVX2__
    if constexpr (L == 8) return void(to = I(_mm256_cvtepu8_epi32(_mm_loadu_si64(from))));
    if constexpr (L == 4) return void(to = I(_mm_cvtepu8_epi32(_mm_loadu_si32(from))));
#endif
    for (int i = 0; i < L; ++i) to[i] = from[i];
  }
};

/// f<L>(c) for blocks of L channels from c on that cover [0, channels).
template <class F>
void each_block(int64_t channels, const F& f) {
  int64_t c = 0;
  for (; c + widest <= channels; c += widest) f.template operator()<widest>(c);
  if constexpr (widest > 8)
    for (; c + 8 <= channels; c += 8) f.template operator()<8>(c);
  if constexpr (widest > 4)
    for (; c + 4 <= channels; c += 4) f.template operator()<4>(c);
  for (; c < channels; ++c) f.template operator()<1>(c);
}

/// Rows of channels by n, t, h, w.
template <class T>
struct Rows {
  explicit Rows(const View& v)
      : base(v ? data<T>(v) : nullptr),
        strides(v.strides),
        channels(v ? v.shape[4] : 0),
        tail(v.tail) {}
  T* at(int64_t n, int64_t t, int64_t h, int64_t w) const {
    return base + n * strides[0] + t * strides[1] + h * strides[2] + w * strides[3];
  }
  void clear_tail(T* row) const {
    for (int64_t i = 0; i < tail; ++i) row[channels + i] = 0;
  }
  void clear(T* row) const { std::fill_n(row, channels + tail, T(0)); }

  T* base;
  Strides strides;
  int64_t channels, tail;
};

/// f(n, t, h) for each line of rows, on all cores.
template <class F>
void each_line(const Shape& s, const F& f) {
  if (!s.size()) return;
  parallel_for(s[0] * s[1] * s[2], std::max<int64_t>(1, grain / (s[3] * s[4])),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i)
                   f(i / s[2] / s[1], i / s[2] % s[1], i % s[2]);
               });
}

struct Span {
  int64_t first = 0, end = 0;
  int64_t size() const { return end - first; }
};

/// Which inputs and outputs see each other along one axis; worked out once a call.
struct Axis {
  Axis(const Pool3dOptions& o, const Shape& x, const Shape& y, int axis)
      : kernel(o.kernel[size_t(axis)]),
        step(o.step()[size_t(axis)]),
        pad(o.pad_front[size_t(axis)]) {
    const int64_t inputs = x[axis + 1], outputs = y[axis + 1];
    for (int64_t i = 0; i < outputs; ++i) {
      const int64_t start = i * step - pad, end = start + kernel;
      window.push_back({std::max<int64_t>(start, 0), std::min(end, inputs)});
      count.push_back(float(o.count_padding
                                ? std::min(end, inputs + o.pad_back[size_t(axis)]) - start
                                : window.back().size()));
    }
    for (int64_t i = 0; i < inputs; ++i) {
      const int64_t last = i + pad, first = std::max<int64_t>(last - kernel + 1, 0);
      cover.push_back({(first + step - 1) / step, std::min(last / step + 1, outputs)});
    }
  }
  /// Where in the window of `out` input `in` lies.
  int64_t tap(int64_t in, int64_t out) const { return in + pad - out * step; }

  int64_t kernel, step, pad;
  std::vector<Span> window;  // of each output: the inputs inside
  std::vector<float> count;  // of each output: what its average counts
  std::vector<Span> cover;   // of each input: the outputs that see it; may be empty
};

struct Geometry {
  Geometry(const Pool3dOptions& o, const Shape& x, const Shape& y)
      : t(o, x, y, 0), h(o, x, y, 1), w(o, x, y, 2) {}
  int64_t tap(int64_t a, int64_t b, int64_t c) const { return (a * h.kernel + b) * w.kernel + c; }
  /// No input lies in two windows.
  bool disjoint() const { return t.step >= t.kernel && h.step >= h.kernel && w.step >= w.kernel; }
  Axis t, h, w;
};

/// One window: its first input, how far it goes, and the number of its first tap.
struct Box {
  Box(const Geometry& g, const Rows<const float>& x, int64_t n, int64_t ot, int64_t oh, int64_t ow)
      : frames(g.t.window[size_t(ot)].size()),
        rows(g.h.window[size_t(oh)].size()),
        columns(g.w.window[size_t(ow)].size()) {
    const int64_t t = g.t.window[size_t(ot)].first, h = g.h.window[size_t(oh)].first,
                  w = g.w.window[size_t(ow)].first;
    corner = x.at(n, t, h, w);
    tap = g.tap(g.t.tap(t, ot), g.h.tap(h, oh), g.w.tap(w, ow));
  }
  int64_t frames, rows, columns;
  const float* corner;
  int64_t tap;
};

template <int L, class Tap>
void max_block(const Geometry& g, const Strides& stride, const Box& box, int64_t c, float* y,
               Tap* taps) {
  typename Lanes<L>::F best, v;
  Lanes<L>::load(box.corner + c, best);
  typename Lanes<L>::I where = int32_t(box.tap) - typename Lanes<L>::I{};
  for (int64_t i = 0; i < box.frames; ++i)
    for (int64_t j = 0; j < box.rows; ++j) {
      const float* from = box.corner + c + i * stride[1] + j * stride[2];
      int32_t tap = int32_t(box.tap + g.tap(i, j, 0));
      for (int64_t k = 0; k < box.columns; ++k, ++tap, from += stride[3]) {
        Lanes<L>::load(from, v);
        const auto better = (v > best) | (v != v);
        best = better ? v : best;
        where = better ? tap - typename Lanes<L>::I{} : where;
      }
    }
  std::memcpy(y, &best, sizeof(best));
  if (taps) Lanes<L>::store_taps(taps, where);
}

template <class Tap>
void max_forward_as(const Pool3dOptions& o, const View& x, const View& y, const View& taps) {
  const Geometry g(o, x.shape, y.shape);
  const Rows<const float> from(x);
  const Rows<float> to(y);
  const Rows<Tap> won(taps);
  each_line(y.shape, [&](int64_t n, int64_t t, int64_t h) {
    for (int64_t w = 0; w < y.shape[3]; ++w) {
      const Box box(g, from, n, t, h, w);
      float* row = to.at(n, t, h, w);
      Tap* tap_row = won.base ? won.at(n, t, h, w) : nullptr;
      each_block(to.channels, [&]<int L>(int64_t c) {
        max_block<L>(g, from.strides, box, c, row + c, tap_row ? tap_row + c : nullptr);
      });
      to.clear_tail(row);
      if (tap_row) won.clear_tail(tap_row);
    }
  });
}

void check_type(const View& x) {
  check(x.dtype == Dtype::f32, "pool3d: backend cpu computes in f32, got ", x.dtype);
}

void max_forward(Stream, const Pool3dOptions& o, View x, View y, View taps) {
  check_pool3d(o, x, y, taps);
  check_type(x);
  if (pool3d_taps(o) == Dtype::u8) return max_forward_as<uint8_t>(o, x, y, taps);
  max_forward_as<int32_t>(o, x, y, taps);
}

template <int L>
void average_block(const Strides& stride, const Box& box, int64_t c, float share, float* y) {
  typename Lanes<L>::F sum{}, v;
  for (int64_t i = 0; i < box.frames; ++i)
    for (int64_t j = 0; j < box.rows; ++j) {
      const float* from = box.corner + c + i * stride[1] + j * stride[2];
      for (int64_t k = 0; k < box.columns; ++k, from += stride[3]) {
        Lanes<L>::load(from, v);
        sum += v;
      }
    }
  sum *= share;
  std::memcpy(y, &sum, sizeof(sum));
}

void average_forward(Stream, const Pool3dOptions& o, View x, View y) {
  check_pool3d(o, x, y);
  check_type(x);
  const Geometry g(o, x.shape, y.shape);
  const Rows<const float> from(x);
  const Rows<float> to(y);
  each_line(y.shape, [&](int64_t n, int64_t t, int64_t h) {
    const float count = g.t.count[size_t(t)] * g.h.count[size_t(h)];
    for (int64_t w = 0; w < y.shape[3]; ++w) {
      const Box box(g, from, n, t, h, w);
      float* row = to.at(n, t, h, w);
      each_block(to.channels, [&]<int L>(int64_t c) {
        average_block<L>(from.strides, box, c, 1 / (count * g.w.count[size_t(w)]), row + c);
      });
      to.clear_tail(row);
    }
  });
}

/// Either gradient: of the average where Tap is void, else of the maximum.
template <class Tap>
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
    float* row = dx.at(n, t, h, w);
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
      std::memcpy(row + c, &sum, sizeof(sum));
    });
    dx.clear_tail(row);
  }

  Geometry g;
  Rows<const float> dy;
  Rows<const Stored> taps;
  Rows<float> dx;
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
    float* row = dx.at(n, t, h, ws.first);
    const int64_t pitch = dx.strides[3], count = ws.size();
    const bool adding = add;
    each_block(dx.channels, [&]<int L>(int64_t c) {
      const Handed<L> handed(*this, n, ot, oh, ow, c);
      float* to = row + c;
      for (int64_t k = tap; k < tap + count; ++k, to += pitch) {
        typename Lanes<L>::F sum{};
        if (adding) Lanes<L>::load(to, sum);
        handed.add_to(sum, k);
        std::memcpy(to, &sum, sizeof(sum));
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

template <class Tap>
void grad_as(const Pool3dOptions& o, const View& dy, const View& taps, const View& dx, bool add) {
  const Grad<Tap> grad(o, dy, taps, dx, add);
  const bool disjoint = grad.g.disjoint();
  each_line(dx.shape, [&](int64_t n, int64_t t, int64_t h) {
    if (disjoint) return grad.disjoint_line(n, t, h);
    for (int64_t w = 0; w < dx.shape[3]; ++w) grad.overlapping_row(n, t, h, w);
  });
}

void max_grad(Stream, const Pool3dOptions& o, View dy, View taps, View dx, bool accumulate) {
  check_pool3d(o, dx, dy, taps);
  check_type(dx);
  check(bool(taps), "pool3d: the gradient of the maximum needs the taps");
  if (taps.dtype == Dtype::u8) return grad_as<uint8_t>(o, dy, taps, dx, accumulate);
  grad_as<int32_t>(o, dy, taps, dx, accumulate);
}

void average_grad(Stream, const Pool3dOptions& o, View dy, View dx, bool accumulate) {
  check_pool3d(o, dx, dy);
  check_type(dx);
  grad_as<void>(o, dy, {}, dx, accumulate);
}

}  // namespace

const Pool3d pool3d_cpu = {.max_forward = max_forward,
                           .max_grad = max_grad,
                           .average_forward = average_forward,
                           .average_grad = average_grad};

}  // namespace kinema::kernels
