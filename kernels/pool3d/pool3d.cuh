#pragma once
#include <algorithm>
#include "kernels/device/device.h"
#include "kernels/device/launch.h"
#include "kernels/pool3d/pool3d.h"

// What the passes share. A thread makes packs of N channels: all that it reads and writes are then
// vectors of 16 bytes, but for taps, which have a type of their own. N is 1 where addresses forbid
// packs. Places along an axis are 32-bit numbers, which costs a third of the instructions of 64-bit
// ones; offsets are 64-bit.

namespace kinema::kernels::device::inline KERNELS_TWIN::pool3d {

constexpr int threads = 256;

struct Span {
  int first, end;
  KERNELS_BOTH int size() const { return end - first; }
};

/// Which inputs and outputs see each other along one axis.
struct Axis {
  Axis(const Pool3dOptions& o, const Shape& x, const Shape& y, int axis)
      : kernel(int(o.kernel[size_t(axis)])),
        pad(int(o.pad_front[size_t(axis)])),
        inputs(int(x[axis + 1])),
        outputs(int(y[axis + 1])),
        step(int(std::min<int64_t>(o.step()[size_t(axis)], 1 << 30))),
        counted{o.count_padding ? -pad : 0,
                inputs + (o.count_padding ? int(o.pad_back[size_t(axis)]) : 0)},
        by_step(step) {
    check(
        o.kernel[size_t(axis)] <= 1 << 30 && x[axis + 1] <= (1 << 30) - 2 * o.kernel[size_t(axis)],
        "pool3d: a device takes axes and windows of less than 2^30, got ", o.kernel[size_t(axis)],
        " along x ", x);
  }

  /// The inputs in the window of `out`, and how many its average counts.
  KERNELS_BOTH Span window(int out) const { return cut(out, {0, inputs}); }
  KERNELS_BOTH int count(int out) const { return cut(out, counted).size(); }
  /// The outputs whose windows hold `in`; may be empty.
  KERNELS_BOTH Span cover(int in) const {
    const int last = in + pad, before = last - kernel;
    return {before < 0 ? 0 : by_step.quotient(before) + 1,
            std::min(by_step.quotient(last) + 1, outputs)};
  }
  /// The inputs from the window of `out` up to the next, which share all of x among them.
  KERNELS_BOTH Span region(int out) const {
    const int start = out * step - pad;
    return {std::max(start, 0), out + 1 == outputs ? inputs : std::min(start + step, inputs)};
  }
  /// Where in the window of `out` input `in` lies.
  KERNELS_BOTH int tap(int in, int out) const { return in + pad - out * step; }

  int kernel, pad, inputs, outputs, step;
  Span counted;  ///< what averages count
  SmallDivisor by_step;

 private:
  KERNELS_BOTH Span cut(int out, const Span& to) const {
    const int start = out * step - pad;
    return {std::max(start, to.first), std::min(start + kernel, to.end)};
  }
};

/// A pack of channels: where, and the first of them.
struct Place {
  int n, t, h, w, c;
};

struct Window {
  Span t, h, w;
  int tap;  ///< of its first input
};

struct Geometry3d {
  Geometry3d(const Pool3dOptions& o, const Shape& x, const Shape& y)
      : t(o, x, y, 0), h(o, x, y, 1), w(o, x, y, 2) {}
  KERNELS_BOTH int tap(int a, int b, int c) const { return (a * h.kernel + b) * w.kernel + c; }
  KERNELS_BOTH Window window(const Place& o) const {
    const Span ts = t.window(o.t), hs = h.window(o.h), ws = w.window(o.w);
    return {ts, hs, ws, tap(t.tap(ts.first, o.t), h.tap(hs.first, o.h), w.tap(ws.first, o.w))};
  }
  /// 1 / what the average of an output counts.
  KERNELS_BOTH float share(const Place& o) const {
    return 1.0f / (float(t.count(o.t)) * float(h.count(o.h)) * float(w.count(o.w)));
  }
  bool disjoint() const { return t.step >= t.kernel && h.step >= h.kernel && w.step >= w.kernel; }
  Axis t, h, w;
};

/// All packs of a tensor [N,T,H,W,C] that is not empty, c fastest.
class Places {
 public:
  Places(const Shape& s, int lanes)
      : count_(s[0] * s[1] * s[2] * s[3] * ((s[4] + lanes - 1) / lanes)),
        lanes_(lanes),
        t_(s[1]),
        h_(s[2]),
        w_(s[3]),
        packs_((s[4] + lanes - 1) / lanes),
        small_t_(s[1]),
        small_h_(s[2]),
        small_w_(s[3]),
        small_packs_((s[4] + lanes - 1) / lanes) {
    check(std::max(s[0], s[4]) <= INT32_MAX, "pool3d: a device takes axes of less than 2^31, got ",
          s);
  }
  KERNELS_BOTH int64_t count() const { return count_; }
  KERNELS_BOTH Place operator()(int64_t i) const {
    return count_ <= INT32_MAX ? split(int(i), small_t_, small_h_, small_w_, small_packs_)
                               : split(i, t_, h_, w_, packs_);
  }

 private:
  template <class I, class Divisor>
  KERNELS_BOTH Place split(I i, const Divisor& t, const Divisor& h, const Divisor& w,
                           const Divisor& packs) const {
    const I row = packs.quotient(i), line = w.quotient(row), frame = h.quotient(line),
            clip = t.quotient(frame);
    return {int(clip), int(frame - clip * t.divisor()), int(line - frame * h.divisor()),
            int(row - line * w.divisor()), int(i - row * packs.divisor()) * lanes_};
  }
  int64_t count_;
  int lanes_;
  FastDivisor t_, h_, w_, packs_;
  SmallDivisor small_t_, small_h_, small_w_, small_packs_;
};

/// Where rows of channels lie, by n, t, h, w.
struct RowLayout {
  explicit RowLayout(const View& v)
      : n(v.strides[0]),
        t(v.strides[1]),
        h(v.strides[2]),
        w(v.strides[3]),
        channels(int(v.shape[4])),
        owned(int(v.shape[4] + v.tail)) {}
  KERNELS_BOTH int64_t offset(const Place& p) const {
    // Unsigned, since a sign costs two instructions a product.
    return uint32_t(p.n) * n + uint32_t(p.t) * t + uint32_t(p.h) * h + uint32_t(p.w) * w + p.c;
  }
  /// Zeroes what the row owns behind its last pack, if `p` is that one and lies at `row`.
  template <int N, class T>
  KERNELS_INLINE void clear_rest(const Place& p, T* row) const {
    if (p.c + N < channels) return;
#pragma unroll 1
    for (int i = N; p.c + i < owned; ++i) row[i] = T{};
  }
  int64_t n, t, h, w;
  int channels, owned;
};

template <class T>
struct Rows : RowLayout {
  explicit Rows(const View& v) : RowLayout(v), base(data<T>(v)) {}
  KERNELS_BOTH T* at(const Place& p) const { return base + offset(p); }
  T* base;
};

/// The taps of either type; or none.
class Taps {
 public:
  Taps(const View& v, int lanes)
      : rows_(v),
        base_(v.data),
        given_(v),
        bytes_(v.dtype == Dtype::u8),
        packs_(aligned(v, bytes_ ? lanes : 16)) {}
  KERNELS_BOTH bool given() const { return given_; }
  template <int N>
  KERNELS_INLINE void load(const Place& p, int (&to)[N]) const {
    bytes_ ? load_as<uint8_t>(p, to) : load_as<int32_t>(p, to);
  }
  template <int N>
  KERNELS_INLINE void store(const Place& p, const int (&from)[N]) const {
    bytes_ ? store_as<uint8_t>(p, from) : store_as<int32_t>(p, from);
  }

 private:
  template <class T, int N>
  KERNELS_INLINE void load_as(const Place& p, int (&to)[N]) const {
    const auto lanes =
        load_lanes<N>(static_cast<const T*>(base_) + rows_.offset(p), rows_.channels - p.c, packs_);
#pragma unroll
    for (int k = 0; k < N; ++k) to[k] = lanes.lane[k];
  }
  template <class T, int N>
  KERNELS_INLINE void store_as(const Place& p, const int (&from)[N]) const {
    Pack<T, N> lanes;
#pragma unroll
    for (int k = 0; k < N; ++k) lanes.lane[k] = T(from[k]);
    if (p.c + N > rows_.channels) {
#pragma unroll
      for (int k = 0; k < N; ++k)
        if (p.c + k >= rows_.channels) lanes.lane[k] = T{};
    }
    T* row = static_cast<T*>(base_) + rows_.offset(p);
    store_lanes<N>(row, lanes, rows_.owned - p.c, packs_);
    rows_.clear_rest<N>(p, row);
  }
  RowLayout rows_;
  void* base_;
  bool given_, bytes_, packs_;
};

/// True if all rows can be read and written in packs: the last pack of a row ends with it, or in
/// lanes that it owns.
inline bool in_packs(const View& v) {
  const int64_t lanes = 16 / size_of(v.dtype);
  return aligned(v) && round_up(v.shape[4], lanes) <= v.shape[4] + v.tail;
}

void max_grad(Stream, const Pool3dOptions&, View dy, View taps, View dx, bool accumulate);
void average_grad(Stream, const Pool3dOptions&, View dy, View dx, bool accumulate);

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::pool3d
