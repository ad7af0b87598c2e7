#pragma once
#include <algorithm>
#include <cstring>
#include <vector>
#include "kernels/base/parallel.h"
#include "kernels/pool3d/pool3d.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

// What the two sources of the cpu backend share. T is the type of activations; sums run in f32 and
// are rounded at the store. Bound by memory: forward reads x once and writes y
// and taps; the gradients write each element of dx once and find dy and taps, which are smaller by
// the window, in the cache.
namespace kinema::kernels::pool3d_on_cpu {

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

  static void load(const float* from, F& to) { std::memcpy(&to, from, sizeof(to)); }
  static void store(float* to, const F& v) { std::memcpy(to, &v, sizeof(v)); }
  /// bf16 and f16, as f32. By intrinsics for the reason that load_taps() gives.
  static void load(const bf16* from, F& to) {
#ifdef __AVX512F__
    if constexpr (L == 16)
      return void(to = F(I(_mm512_maskz_cvtepu16_epi32(0xffff, sixteen(from))) << 16));
#endif
#ifdef __AVX2__
    if constexpr (L == 8) return void(to = F(I(_mm256_cvtepu16_epi32(eight(from))) << 16));
#endif
    load_each(from, to);
  }
  static void load(const f16* from, F& to) {
#ifdef __AVX512F__
    if constexpr (L == 16) return void(to = _mm512_maskz_cvtph_ps(0xffff, sixteen(from)));
#endif
#ifdef __F16C__
    if constexpr (L == 8) return void(to = _mm256_cvtph_ps(eight(from)));
#endif
    load_each(from, to);
  }
  template <class T>
  static void load_each(const T* from, F& to) {
    float wide[L];
    for (int i = 0; i < L; ++i) wide[i] = from[i];
    std::memcpy(&to, wide, sizeof(to));
  }
  template <class T>
  static void store(T* to, const F& v) {
    float wide[L];
    std::memcpy(wide, &v, sizeof(v));
    for (int i = 0; i < L; ++i) to[i] = T(wide[i]);
  }
  static void store_taps(int32_t* to, const I& v) { std::memcpy(to, &v, sizeof(v)); }
  static void store_taps(uint8_t* to, const I& v) {
    int32_t wide[L];
    std::memcpy(wide, &v, sizeof(v));
    for (int i = 0; i < L; ++i) to[i] = uint8_t(wide[i]);
  }

  static void load_taps(const int32_t* from, I& to) { std::memcpy(&to, from, sizeof(to)); }
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

#ifdef __AVX2__
 private:
  static __m128i eight(const void* words) {
    return _mm_loadu_si128(static_cast<const __m128i*>(words));
  }
  static __m256i sixteen(const void* words) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(words));
  }
#endif
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
    for (int64_t i = 0; i < tail; ++i) row[channels + i] = T(0);
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

void max_grad(Stream, const Pool3dOptions&, View dy, View taps, View dx, bool accumulate);
void average_grad(Stream, const Pool3dOptions&, View dy, View dx, bool accumulate);

}  // namespace kinema::kernels::pool3d_on_cpu
