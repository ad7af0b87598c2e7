// Forward and grad_input are one loop: each row of pixels along w falls into runs of positions that
// the same taps reach, edges being short runs with fewer taps. A block of positions by a register
// of channels is summed over all taps and stored once. A multiplier above 1 is expanded around the
// loops: it costs a copy of x (or dx) with K channels.
#include "kernels/conv3d/conv3d_depthwise.h"
#include <algorithm>
#include <vector>
#include "kernels/base/parallel.h"

namespace kinema::kernels {

namespace {

#ifdef __AVX512F__
constexpr int lanes = 16;
#else
constexpr int lanes = 8;
#endif

/// Tap `tap` of one axis reads element `source`.
struct Source {
  int64_t tap, source;
  bool operator==(const Source&) const = default;
};

/// Positions first, first + step, ... (count of them) along w; the sources advance with them.
struct Run {
  int64_t first, count;
  std::vector<Source> sources;
};

/// A pass from `from` to `to` (forward: x to y; backward: dy to dx): which elements each element
/// of `to` gathers.
struct Gather {
  const Conv3dOptions& opt;
  const View &from, &to;
  std::array<int64_t, 3> taps;
  bool backward;

  /// Steps along w within a run.
  int64_t to_step() const { return backward ? opt.stride[2] : 1; }
  int64_t from_step() const { return backward ? 1 : opt.stride[2]; }

  std::vector<Source> sources(size_t axis, int64_t at) const {
    std::vector<Source> list;
    const int64_t stride = opt.stride[axis], size = from.shape[int(axis) + 1];
    for (int64_t tap = 0; tap < taps[axis]; ++tap) {
      const int64_t reach = tap * opt.dilation[axis] - opt.pad_front[axis];
      const int64_t source = backward ? (at - reach) / stride : at * stride + reach;
      const bool hit = !backward || (at >= reach && (at - reach) % stride == 0);
      if (hit && source >= 0 && source < size) list.push_back({tap, source});
    }
    return list;
  }
  std::vector<Run> runs() const;
};

std::vector<Run> Gather::runs() const {
  std::vector<Run> all;
  const int64_t width = to.shape[3], step = to_step();
  for (int64_t phase = 0; phase < std::min(step, width); ++phase)
    for (int64_t at = phase; at < width; at += step) {
      const std::vector<Source> here = sources(2, at);
      std::vector<Source> expected = here;
      if (at > phase) {
        Run& last = all.back();
        expected = last.sources;
        for (Source& s : expected) s.source += last.count * from_step();
        if (expected == here) {
          ++last.count;
          continue;
        }
      }
      all.push_back({at, 1, here});
    }
  return all;
}

/// One tap at the first position of a run: what it reads, and its filters (or their gradients), a
/// row of channels each.
struct Tap {
  const float* from;
  float* filter;
};

const float* row(const View& v, int64_t n, int64_t t, int64_t h) {
  return data<const float>(v) + n * v.stride(0) + t * v.stride(1) + h * v.stride(2);
}

/// The rows of `from` that one row of `to` gathers from, with the first filter row of each.
struct Rows {
  std::vector<Tap> rows;
  int64_t n = 0, t = 0, h = 0;  ///< in `to`

  /// Row `index` of g.to, counted over n, t, h; `filters` is [taps][channels].
  void find(const Gather& g, int64_t index, float* filters, int64_t channels) {
    const Shape& to = g.to.shape;
    h = index % to[2], t = index / to[2] % to[1], n = index / (to[2] * to[1]);
    rows.clear();
    for (const Source& a : g.sources(0, t))
      for (const Source& b : g.sources(1, h))
        rows.push_back({row(g.from, n, a.source, b.source),
                        filters + (a.tap * g.taps[1] + b.tap) * g.taps[2] * channels});
  }
  /// All taps of a run into `list`.
  void taps(const Gather& g, const Run& run, int64_t channels, std::vector<Tap>& list) const {
    list.clear();
    for (const Tap& r : rows)
      for (const Source& c : run.sources)
        list.push_back({r.from + c.source * g.from.stride(3), r.filter + c.tap * channels});
  }
};

/// to[i][l] = sum over taps of from[i][l] * filter[l] for `Block` positions of `Lanes` channels.
template <int Lanes, int Block>
void sum_taps(const std::vector<Tap>& taps, int64_t from_offset, int64_t from_step, float* to,
              int64_t to_step, int64_t channel) {
  float sums[Block][Lanes] = {};
  for (const Tap& tap : taps) {
    const float *from = tap.from + from_offset + channel, *filter = tap.filter + channel;
#pragma GCC unroll 8
    for (int i = 0; i < Block; ++i)
#pragma omp simd
      for (int l = 0; l < Lanes; ++l) sums[i][l] += from[i * from_step + l] * filter[l];
  }
#pragma GCC unroll 8
  for (int i = 0; i < Block; ++i) std::copy_n(sums[i], Lanes, to + i * to_step + channel);
}

/// f(c) for steps of `step` that cover [0, count), the last one moved back to end there: what it
/// shares with the one before is computed twice, to the same bits.
template <class F>
void cover(int64_t count, int64_t step, const F& f) {
  for (int64_t i = 0; i < count; i += step) f(std::min(i, count - step));
}

/// `Block` positions of all channels, as many channels at a time as keep eight sums in flight.
template <int Block>
void sum_block(const std::vector<Tap>& taps, int64_t from_offset, int64_t from_step, float* to,
               int64_t to_step, int64_t channels) {
  const auto with = [&]<int Lanes>(std::integral_constant<int, Lanes>) {
    cover(channels, Lanes,
          [&](int64_t c) { sum_taps<Lanes, Block>(taps, from_offset, from_step, to, to_step, c); });
  };
  constexpr int wide = lanes * 8 / Block;
  if (channels >= wide && wide > lanes) return with(std::integral_constant<int, wide>());
  if (channels >= lanes) return with(std::integral_constant<int, lanes>());
  if (channels >= 4) return with(std::integral_constant<int, 4>());
  with(std::integral_constant<int, 1>());
}

/// f(channel, std::integral_constant<int, Lanes>) over pieces of a row of channels, each once.
template <class F>
void each_piece(int64_t channels, const F& f) {
  int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) f(c, std::integral_constant<int, lanes>());
  for (; c + 4 <= channels; c += 4) f(c, std::integral_constant<int, 4>());
  for (; c < channels; ++c) f(c, std::integral_constant<int, 1>());
}

/// Lanes that both own behind their channels may be computed with: zeros give zeros.
int64_t computed_channels(const View& a, const View& b) {
  return a.shape[4] + std::min(a.tail, b.tail);
}

/// `to` gathered from `from` with filters [taps][channels], channel by channel.
void gather(const Gather& g, float* filters, int64_t channels) {
  const std::vector<Run> runs = g.runs();
  const int64_t from_step = g.from_step() * g.from.stride(3), pitch = g.to.stride(3);
  const int64_t to_step = g.to_step() * pitch, width = g.to.shape[3];
  const int64_t rows = g.to.shape[0] * g.to.shape[1] * g.to.shape[2];
  parallel_for(rows, 1, [&](int64_t begin, int64_t end) {
    Rows sources;
    std::vector<Tap> taps;
    for (int64_t index = begin; index < end; ++index) {
      sources.find(g, index, filters, channels);
      float* to = const_cast<float*>(row(g.to, sources.n, sources.t, sources.h));
      for (const Run& run : runs) {
        sources.taps(g, run, channels, taps);
        float* first = to + run.first * pitch;
        const auto blocks_of = [&]<int Block>(std::integral_constant<int, Block>) {
          cover(run.count, Block, [&](int64_t i) {
            sum_block<Block>(taps, i * from_step, from_step, first + i * to_step, to_step,
                             channels);
          });
        };
        if (run.count >= 8) {
          blocks_of(std::integral_constant<int, 8>());
        } else if (run.count >= 4) {
          blocks_of(std::integral_constant<int, 4>());
        } else {
          blocks_of(std::integral_constant<int, 1>());
        }
      }
      for (int64_t w = 0; w < width; ++w)
        std::fill_n(to + w * pitch + channels, g.to.shape[4] + g.to.tail - channels, 0.f);
    }
  });
}

/// filter[g][l] += sum over positions of dy[i][l] * from[g][i][l] for `Group` taps at a time.
template <int Lanes, int Group>
void correlate(const Tap* taps, int64_t from_step, int64_t channel, const float* dy,
               int64_t dy_step, int64_t count) {
  float sums[Group][Lanes] = {};
  for (int64_t i = 0; i < count; ++i) {
    const float* grad = dy + i * dy_step + channel;
#pragma GCC unroll 9
    for (int g = 0; g < Group; ++g) {
      const float* from = taps[g].from + i * from_step + channel;
#pragma omp simd
      for (int l = 0; l < Lanes; ++l) sums[g][l] += from[l] * grad[l];
    }
  }
#pragma GCC unroll 9
  for (int g = 0; g < Group; ++g)
#pragma omp simd
    for (int l = 0; l < Lanes; ++l) taps[g].filter[channel + l] += sums[g][l];
}

/// Adds what output rows [begin, end) give to the filters' gradients [taps][channels].
void correlate_rows(const Gather& g, const std::vector<Run>& runs, int64_t begin, int64_t end,
                    float* filters, int64_t channels) {
  const int64_t from_step = g.from_step() * g.from.stride(3), pitch = g.to.stride(3);
  Rows sources;
  std::vector<Tap> taps;
  for (int64_t index = begin; index < end; ++index) {
    sources.find(g, index, filters, channels);
    const float* dy = row(g.to, sources.n, sources.t, sources.h);
    for (const Run& run : runs) {
      sources.taps(g, run, channels, taps);
      const int64_t all = int64_t(taps.size());
      each_piece(channels, [&]<int L>(int64_t c, std::integral_constant<int, L>) {
        const float* first = dy + run.first * pitch;
        const Tap* tap = taps.data();
        int64_t left = all;
        for (; left >= 9; left -= 9, tap += 9)
          correlate<L, 9>(tap, from_step, c, first, pitch, run.count);
        for (; left >= 3; left -= 3, tap += 3)
          correlate<L, 3>(tap, from_step, c, first, pitch, run.count);
        for (; left > 0; --left, ++tap) correlate<L, 1>(tap, from_step, c, first, pitch, run.count);
      });
    }
  }
}

int64_t tap_count(const View& w) { return w.shape[1] * w.shape[2] * w.shape[3]; }

float* filter_at(const View& w, int64_t k, int64_t tap) {
  const int64_t c = tap % w.shape[3], b = tap / w.shape[3] % w.shape[2];
  return data<float>(w) + k * w.stride(0) + tap / (w.shape[3] * w.shape[2]) * w.stride(1) +
         b * w.stride(2) + c * w.stride(3);
}

/// w as [tap][channels], zeros behind its K channels.
std::vector<float> by_tap(const View& w, int64_t channels) {
  std::vector<float> turned(static_cast<size_t>(tap_count(w) * channels));
  for (int64_t k = 0; k < w.shape[0]; ++k)
    for (int64_t tap = 0; tap < tap_count(w); ++tap)
      turned[size_t(tap * channels + k)] = *filter_at(w, k, tap);
  return turned;
}

/// A dense tensor like v with `channels` channels, in `memory`.
View wide_layout(const View& v, int64_t channels, std::vector<float>& memory) {
  View wide = fresh_layout(Dtype::f32, {v.shape[0], v.shape[1], v.shape[2], v.shape[3], channels});
  memory.resize(size_t(span(wide)));
  wide.data = memory.data();
  return wide;
}

/// x with each channel `multiplier` times in a row; x itself for 1.
View expanded(const View& x, int64_t multiplier, std::vector<float>& memory) {
  if (multiplier == 1) return x;
  const View wide = wide_layout(x, x.shape[4] * multiplier, memory);
  const RowOffsets from(x), to(wide);
  parallel_for(x.size() ? from.rows() : 0, 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t c = 0; c < wide.shape[4]; ++c)
        data<float>(wide)[to(r) + c] = data<const float>(x)[from(r) + c / multiplier];
  });
  return wide;
}

/// The opposite: each channel of dx is the sum of `multiplier` of `wide`.
void reduce(const View& wide, int64_t multiplier, const View& dx) {
  const RowOffsets from(wide), to(dx);
  parallel_for(dx.size() ? to.rows() : 0, 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* out = data<float>(dx) + to(r);
      for (int64_t c = 0; c < dx.shape[4]; ++c) {
        const float* in = data<const float>(wide) + from(r) + c * multiplier;
        out[c] = 0;
        for (int64_t j = 0; j < multiplier; ++j) out[c] += in[j];
      }
      std::fill_n(out + dx.shape[4], dx.tail, 0.f);
    }
  });
}

std::array<int64_t, 3> taps_of(const View& w) { return {w.shape[1], w.shape[2], w.shape[3]}; }

}  // namespace

void conv3d_depthwise_forward(const Conv3dOptions& opt, const View& x, const View& w,
                              const View& y) {
  std::vector<float> memory;
  const View from = expanded(x, w.shape[0] / opt.groups, memory);
  const int64_t channels = computed_channels(from, y);
  std::vector<float> filters = by_tap(w, channels);
  gather({opt, from, y, taps_of(w), false}, filters.data(), channels);
}

void conv3d_depthwise_grad_input(const Conv3dOptions& opt, const View& dy, const View& w,
                                 const View& dx) {
  const int64_t multiplier = w.shape[0] / opt.groups;
  std::vector<float> memory;
  const View to = multiplier == 1 ? dx : wide_layout(dx, w.shape[0], memory);
  const int64_t channels = computed_channels(dy, to);
  std::vector<float> filters = by_tap(w, channels);
  gather({opt, dy, to, taps_of(w), true}, filters.data(), channels);
  if (multiplier > 1) reduce(to, multiplier, dx);
}

void conv3d_depthwise_grad_weight(const Conv3dOptions& opt, const View& x, const View& dy,
                                  const View& dw) {
  std::vector<float> memory;
  const View from = expanded(x, dw.shape[0] / opt.groups, memory);
  const Gather g{opt, from, dy, taps_of(dw), false};
  const std::vector<Run> runs = g.runs();
  // Fixed parts, summed in double in their order: the bits do not depend on the threads.
  const int64_t channels = computed_channels(from, dy), size = tap_count(dw) * channels;
  const int64_t rows = dy.size() ? dy.shape[0] * dy.shape[1] * dy.shape[2] : 0;
  const int64_t part = std::max<int64_t>(8, (rows + 63) / 64), parts = (rows + part - 1) / part;
  std::vector<float> sums(static_cast<size_t>(parts * size));
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p)
      correlate_rows(g, runs, p * part, std::min(rows, (p + 1) * part), sums.data() + p * size,
                     channels);
  });
  for (int64_t k = 0; k < dw.shape[0]; ++k)
    for (int64_t tap = 0; tap < tap_count(dw); ++tap) {
      double sum = 0;
      for (int64_t p = 0; p < parts; ++p) sum += sums[size_t(p * size + tap * channels + k)];
      float* to = filter_at(dw, k, tap);
      *to = float(sum);
      std::fill_n(to + 1, dw.tail, 0.f);
    }
}

}  // namespace kinema::kernels
