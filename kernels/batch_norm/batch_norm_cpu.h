#pragma once
#include <algorithm>
#include <initializer_list>
#include <vector>
#include "kernels/base/parallel.h"
#include "kernels/base/prefetch.h"
#include "kernels/batch_norm/batch_norm.h"

// What the two sources of the cpu backend share. T is the type of activations; all is computed in
// f32 and rounded at the store. Bound by memory: two passes forward (statistics,
// apply) and two back (sums, apply).
namespace kinema::kernels::batch_norm_on_cpu {

constexpr int64_t block = 16384;  // elements: 64 KiB, what a core takes at least

/// The rows of some tensors of one shape, taken several at once, as lines, where all of them lie
/// densely: long lines cost few instructions a value whatever the number of channels, and their
/// zero lanes come out zero by themselves, numbers tiled over channels being 0 there. Else a line
/// is a row, without its tail.
class Lines {
 public:
  Lines(const View& x, std::initializer_list<View> others)
      : rows(RowOffsets(x).rows()), channels(x.shape[-1]), pitch(channels + x.tail) {
    dense = is_dense(x);
    for (const View& v : others) dense &= !v || is_dense(v);
    if (!dense) pitch = channels;
    const int64_t some = std::max<int64_t>(1, 256 / std::max<int64_t>(pitch, 1));
    if (dense) group = pitch % 16 ? round_up(some, 4) : some;
  }
  int64_t count() const { return channels ? (rows + group - 1) / group : 0; }
  int64_t width() const { return group * pitch; }
  int64_t width(int64_t line) const { return std::min(group, rows - line * group) * pitch; }

  /// One number a channel, repeated over a line.
  template <class T>
  std::vector<float> tiled(const T* of_channel) const {
    std::vector<float> line(size_t(width()), 0.f);
    for (int64_t i = 0; i < group; ++i)
      for (int64_t c = 0; c < channels; ++c) line[size_t(i * pitch + c)] = float(of_channel[c]);
    return line;
  }

  int64_t rows, channels, pitch, group = 1;
  bool dense = false;

 private:
  bool is_dense(const View& v) const {
    return channels + v.tail == pitch && uniform_rows(v) &&
           (rows < 2 || RowOffsets(v)(rows - 1) == (rows - 1) * pitch);
  }
};

/// Where the lines of one tensor start; nowhere if it is not given.
template <class T>
struct Starts {
  Starts(const View& v, const Lines& of)
      : offset(v),
        base(v ? data<T>(v) : nullptr),
        group(of.group),
        channels(of.channels),
        tail(of.dense ? 0 : v.tail) {}
  T* operator()(int64_t line) const { return base ? base + offset(line * group) : nullptr; }
  void clear_tail(T* line) const {
    for (int64_t i = 0; i < tail; ++i) line[channels + i] = T(0);
  }
  RowOffsets offset;
  T* base;
  int64_t group, channels, tail;
};

/// f(line) for each line, on all cores; blocks of lines from the last to the first, so that a
/// second pass begins with what the first left in the cache.
template <class F>
void each_line_backwards(const Lines& lines, const F& f) {
  if (!lines.count()) return;
  const int64_t step = std::max<int64_t>(1, block / lines.width());
  parallel_for(lines.count(), step, [&](int64_t begin, int64_t end) {
    for (int64_t last = end; last > begin; last -= step)
      for (int64_t i = std::max(begin, last - step); i < last; ++i) f(i);
  });
}

/// Two sums a channel over each chunk of lines: f32 inside of a chunk, merged in f64 in the order
/// of chunks. Chunks depend on shape and layout alone, never on the number of threads.
struct Partials {
  explicit Partials(const Lines& of)
      : lines(of),
        chunk(std::clamp<int64_t>(2 * block / std::max<int64_t>(of.width(), 1), 16, 4096)),
        count((of.count() + chunk - 1) / chunk),
        values(size_t(2 * count * of.channels)) {}
  double* first(int64_t k) { return values.data() + 2 * k * lines.channels; }
  double* second(int64_t k) { return first(k) + lines.channels; }
  int64_t begin(int64_t k) const { return k * chunk; }
  int64_t end(int64_t k) const { return std::min((k + 1) * chunk, lines.count()); }
  /// Rows in chunk k.
  int64_t rows(int64_t k) const {
    return std::min(end(k) * lines.group, lines.rows) - begin(k) * lines.group;
  }
  /// Sums of a line's lanes, added up to those of channels.
  void fold(const float* line, double* of_channel) const {
    std::fill_n(of_channel, lines.channels, 0.0);
    for (int64_t i = 0; i < lines.group; ++i)
      for (int64_t c = 0; c < lines.channels; ++c)
        of_channel[c] += double(line[i * lines.pitch + c]);
  }

  const Lines& lines;
  int64_t chunk, count;
  std::vector<double> values;
};

/// gamma * rstd.
inline std::vector<float> scales(const View& gamma, const View& rstd) {
  std::vector<float> scale(size_t(gamma.shape[0]));
  for (size_t c = 0; c < scale.size(); ++c)
    scale[c] = data<const float>(gamma)[c] * data<const float>(rstd)[c];
  return scale;
}

/// The output before residual and ReLU. Forward and backward must round alike, or the ReLU's mask
/// would differ: whether the multiply-add is fused is said here, not left to the compiler.
inline float normalised(float x, float mean, float scale, float beta) {
#ifdef __FP_FAST_FMAF
  return __builtin_fmaf(x - mean, scale, beta);
#else
  return (x - mean) * scale + beta;
#endif
}

void train_grad(Stream, const BatchNormKept&, View dy, const BatchNormTargets&);
void infer_grad(Stream, const BatchNormKept&, View dy, const BatchNormTargets&);

}  // namespace kinema::kernels::batch_norm_on_cpu
