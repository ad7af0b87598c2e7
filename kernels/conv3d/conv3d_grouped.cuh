#pragma once
#include "kernels/conv3d/conv3d_device.cuh"
#include "kernels/conv3d/conv3d_grouped_plan.h"
#include "kernels/device/device.h"

// What the kernels for many groups share: tensors, filters, and what happens to a sum.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

/// Rows of channels, by n, t, h, w; or nothing, where the View is not given.
template <class T>
struct Pixels {
  Pixels() = default;
  explicit Pixels(const View& v)
      : base(v ? data<T>(v) : nullptr),
        n(v.strides[0]),
        t(v.strides[1]),
        h(v.strides[2]),
        w(v.strides[3]),
        channels(int(v.shape[4])),
        owned(int(v.shape[4] + v.tail)),
        packs(aligned(v) && round_up(v.shape[4], pack_lanes<T>) <= v.shape[4] + v.tail) {}
  KERNELS_INLINE explicit operator bool() const { return base != nullptr; }
  KERNELS_INLINE T* at(int n_, int t_, int h_, int w_) const {
    return base + n_ * n + t_ * t + h_ * h + w_ * w;
  }

  T* base = nullptr;
  int64_t n = 0, t = 0, h = 0, w = 0;
  int channels = 0, owned = 0;  ///< with zero lanes
  bool packs = false;           ///< 16 bytes at a time reach nobody else's memory
};

/// Stores N channels from c on, as many as the row owns; where they are its last, zeroes what it
/// owns behind them.
template <int N, class T>
KERNELS_INLINE void store_channels(const Pixels<T>& to, T* row, int c, const Pack<T, N>& pack) {
  store_lanes<N>(row + c, pack, to.owned - c, to.packs);
  if (c + N < to.channels) return;
#pragma unroll 1
  for (int i = c + N; i < to.owned; ++i) row[i] = T{};
}

/// What a thread has seen of N channels: of a forward's results their mean and what they differ by
/// from it, relative to the first, so that a large mean costs nothing; of gradients two sums.
template <int N>
struct Tally {
  float count = 0, origin[N] = {}, first[N] = {}, second[N] = {};
};
/// Of one channel: count, mean and M2, or two sums.
struct Moments {
  float count, first, second;

  /// Chan's formula: Chan, Golub and LeVeque, The American Statistician 37 (1983).
  KERNELS_INLINE void merge(const Moments& o, bool sums) {
    if (sums) {
      first += o.first;
      second += o.second;
    } else if (o.count > 0) {
      const float all = count + o.count, apart = o.first - first;
      first += apart * (o.count / all);
      second += o.second + apart * apart * (count * (o.count / all));
      count = all;
    }
  }
};

/// Everything between a sum and memory: Conv3dEpilogue and Conv3dGradEpilogue in one.
template <class T>
struct Epilogue {
  Epilogue(const View& y, const Conv3dEpilogue& e)
      : to(y),
        added(e.residual),
        bias(channel_values(e.bias)),
        scale(channel_values(e.scale)),
        shift(channel_values(e.shift)),
        relu(e.relu),
        statistics(e.partials ? data<float>(e.partials) : nullptr),
        tile_pitch(e.partials.strides[0]),
        value_pitch(e.partials.strides[1]),
        tail(int(e.partials.tail)) {}
  Epilogue(const View& dx, const Conv3dGradEpilogue& e)
      : to(dx),
        added(e.accumulate ? dx : View{}),
        mask(e.mask),
        z(e.z),
        mean(channel_values(e.mean)),
        statistics(e.sums ? data<float>(e.sums) : nullptr),
        tile_pitch(e.sums.strides[0]),
        value_pitch(e.sums.strides[1]),
        tail(int(e.sums.tail)) {}
  static const float* channel_values(const View& v) { return v ? data<float>(v) : nullptr; }

  KERNELS_INLINE float channel_value(const float* v, int c, float otherwise) const {
    return v && c < to.channels ? v[c] : otherwise;
  }
  KERNELS_INLINE bool sums() const { return bool(z); }

  /// N sums of pixel (n, t, h, w) from channel c on, as they are stored; seen by `tally`.
  template <int N>
  KERNELS_INLINE Pack<T, N> finish(const float (&sum)[N], const int (&p)[4], int c,
                                   Tally<N>& tally) const {
    float v[N];
    Pack<T, N> pack;
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = sum[i];
    if (bias) {
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] += channel_value(bias, c + i, 0);
    }
    if (scale) {
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] *= channel_value(scale, c + i, 1);
    }
    if (shift) {
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] += channel_value(shift, c + i, 0);
    }
    if (added) {
      pack = load<N>(added, p, c);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] += to_float(pack.lane[i]);
    }
    if (relu) {
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] = v[i] < 0 ? 0.f : v[i];
    }
    if (mask) {
      pack = load<N>(mask, p, c);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] = to_float(pack.lane[i]) <= 0 ? 0.f : v[i];
    }
#pragma unroll
    for (int i = 0; i < N; ++i) pack.lane[i] = from_float<T>(c + i < to.channels ? v[i] : 0.f);
    if (statistics) see<N>(pack, p, c, tally);
    return pack;
  }
  template <int N>
  KERNELS_INLINE Moments moments(const Tally<N>& tally, int i) const {
    if (sums()) return {tally.count, tally.first[i], tally.second[i]};
    if (tally.count == 0) return {0, 0, 0};
    const float off = tally.first[i] / tally.count;
    return {tally.count, tally.origin[i] + off, tally.second[i] - tally.first[i] * off};
  }
  /// Writes what a tile has seen of channel c.
  KERNELS_INLINE void put(int64_t tile, int c, const Moments& m) const {
    if (c >= to.channels) return;
    const float values[] = {m.count, m.first, m.second};
    const int skipped = sums() ? 1 : 0;
    const int lanes = c + 1 == to.channels ? tail : 0;
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      if (i < skipped) continue;
      float* at = statistics + tile * tile_pitch + (i - skipped) * value_pitch + c;
      *at = values[i];
      for (int k = 1; k <= lanes; ++k) at[k] = 0;
    }
  }

  Pixels<T> to;
  Pixels<const T> added, mask, z;
  const float *bias = nullptr, *scale = nullptr, *shift = nullptr, *mean = nullptr;
  bool relu = false;
  float* statistics;
  int64_t tile_pitch, value_pitch;
  int tail;  ///< zero lanes of the statistics

 private:
  template <int N>
  static KERNELS_INLINE Pack<T, N> load(const Pixels<const T>& from, const int (&p)[4], int c) {
    return load_lanes<N>(from.at(p[0], p[1], p[2], p[3]) + c, from.owned - c, from.packs);
  }
  template <int N>
  KERNELS_INLINE void see(const Pack<T, N>& stored, const int (&p)[4], int c,
                          Tally<N>& tally) const {
    Pack<T, N> read;
    if (sums()) read = load<N>(z, p, c);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float v = to_float(stored.lane[i]);
      if (sums()) {
        tally.first[i] += v;
        tally.second[i] += v * (to_float(read.lane[i]) - channel_value(mean, c + i, 0));
      } else {
        if (tally.count == 0) tally.origin[i] = v;
        const float off = v - tally.origin[i];
        tally.first[i] += off;
        tally.second[i] += off * off;
      }
    }
    tally.count += 1;
  }
};

/// Weights [K,kt,kh,kw,C/G] by what they lead from and to.
template <class T>
struct Filter {
  Filter(const View& v, const Conv3dOptions& o, bool back_)
      : base(data<T>(v)),
        k(v.strides[0]),
        t(v.strides[1]),
        h(v.strides[2]),
        w(v.strides[3]),
        outputs(int(v.shape[0] / o.groups)),
        inputs(int(v.shape[4])),
        channels(int(v.shape[0])),
        back(back_) {}

  T* base;
  int64_t k, t, h, w;
  int outputs, inputs;  ///< of a group
  int channels;         ///< of y
  bool back;            ///< grad_input: from channels of y to those of x
};

/// Where blocks leave gradients of weights: in dw, or, where pixels are split, in parts of the
/// workspace, [split][k][tap][i].
struct Gradients {
  Gradients(const View& dw, int splits, float* parts, bool accumulate_)
      : base(splits > 1 ? parts : data<float>(dw)),
        size(dw.size()),
        taps_h(int(dw.shape[2])),
        taps_w(int(dw.shape[3])),
        inputs(int(dw.shape[4])),
        outputs(int(dw.shape[0])),
        w(splits > 1 ? inputs : dw.strides[3]),
        h(splits > 1 ? w * taps_w : dw.strides[2]),
        t(splits > 1 ? h * taps_h : dw.strides[1]),
        k(splits > 1 ? t * dw.shape[1] : dw.strides[0]),
        tail(splits > 1 ? 0 : dw.tail),
        accumulate(splits == 1 && accumulate_) {}
  KERNELS_INLINE void put(int split, int64_t channel, int tap, int i, float sum) const {
    const int c = tap % taps_w, b = tap / taps_w % taps_h, a = tap / taps_w / taps_h;
    float* to = base + split * size + channel * k + a * t + b * h + c * w + i;
    *to = accumulate ? *to + sum : sum;
    if (i + 1 == inputs)
      for (int64_t lane = 1; lane <= tail; ++lane) to[lane] = 0;
  }

  float* base;
  int64_t size;
  int taps_h, taps_w, inputs, outputs;
  int64_t w, h, t, k, tail;
  bool accumulate;
};

Forward forward_direct;
GradInput grad_input_direct;
GradWeight grad_weight_direct;
/// dw = the sums of `splits` parts [k][tap][i], in their order; nothing where there is one.
void add_parts(Stream, const float* parts, int splits, const View& dw, bool accumulate);

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
