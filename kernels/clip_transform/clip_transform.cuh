#pragma once
#include "kernels/clip_transform/clip_transform_options.h"
#include "kernels/device/device.h"

// What the kernels share: plans as they read them, the levels that a plan shows, and how colours
// change. Pixels are numbered within the clip; a warp shows one run of them at a time.

namespace kinema::kernels::device::inline KERNELS_TWIN::clip_transform {

/// An axis along which `from` inputs are scaled.
struct Axis {
  double scale, reach;  ///< inputs an output; inputs to each side of its centre that it sums
  float slope;          ///< 1 / reach
  int from;
};

/// One of a plan's changes in their order; `none` where nothing follows.
struct Change {
  enum What : int { brightness, contrast, saturation, hue, none };
  int what;
  float amount;  ///< the factor; of the hue, sixths of a turn in [0, 6]
};

struct Plan {
  int64_t clip;   ///< its number
  int top, left;  ///< of the window
  Axis down, across;
  Change changes[4];
  bool mirrored, contrast;  ///< contrast: it needs the frame's mean grey
};

/// As many as fit into a kernel's arguments, which take 4 KB: no copy to the device, none to wait
/// for.
constexpr int plans_a_launch = 24;

/// All that a launch knows but for the clip's type.
struct Job {
  const uint8_t* frames;
  int64_t frame_n, frame_t, frame_row;  ///< strides, bytes
  int64_t clip_n, clip_t, clip_row, clip_pixel, clip_tail;
  int row_bytes;              ///< of a frame
  int height, width;          ///< of the clip
  bool words;                 ///< rows of frames lie on multiples of 4 bytes
  bool packs;                 ///< rows of the clip are dense and lie on multiples of 16 bytes
  float gain[3], shift[3];    ///< from a level to the clip
  float unit_gain[3];         ///< from a colour in [0,1], by the same shift
  FastDivisor times;          ///< frames a clip
  FastDivisor runs, columns;  ///< runs of a frame, and of a row (or strip of rows)
  FastDivisor parts;          ///< of a frame, whose greys are summed apart
  int64_t runs_a_part;
  double* greys;          ///< [frames of the launch, parts]: the sums
  double pixels_inverse;  ///< 1 / pixels of a frame of the clip
  Plan plans[plans_a_launch];
  int count;  ///< of plans
};

/// A row of one frame.
struct Row {
  const uint8_t* data;
  int length;  ///< bytes
  bool words;

  KERNELS_INLINE Row(const Job& job, const Plan& plan, int64_t t, int y)
      : data(job.frames + plan.clip * job.frame_n + t * job.frame_t +
             (plan.top + int64_t(y)) * job.frame_row),
        length(job.row_bytes),
        words(job.words) {}

  /// Bytes [at, at + 12) for any `at`, zeros outside of the row: four pixels, by three aligned
  /// words or four.
  KERNELS_INLINE void four_pixels(int at, uint32_t (&bytes)[3]) const {
    const int base = at & ~3, shift = 8 * (at & 3);
    uint32_t read[4];
    if (words && base >= 0 && base + 16 <= length) {
      const auto* from = reinterpret_cast<const uint32_t*>(data + base);
#pragma unroll
      for (int i = 0; i < 4; ++i) read[i] = i < 3 || shift ? from[i] : 0;
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) read[i] = by_bytes(base + 4 * i);
    }
#pragma unroll
    for (int i = 0; i < 3; ++i)
      bytes[i] = uint32_t((uint64_t(read[i + 1]) << 32 | read[i]) >> shift);
  }
  KERNELS_INLINE uint32_t by_bytes(int at) const {
    uint32_t word = 0;
#pragma unroll
    for (int b = 0; b < 4; ++b)
      if (at + b >= 0 && at + b < length) word |= uint32_t(data[at + b]) << 8 * b;
    return word;
  }
};

/// Byte i of twelve as f32: its bits are those of 2^23 + byte, which costs less than a conversion.
KERNELS_INLINE float level_of(const uint32_t (&bytes)[3], int i) {
  return __uint_as_float(0x4b000000u | (bytes[i / 4] >> 8 * (i % 4) & 0xffu)) - 8388608.f;
}

/// What one output sums along an axis: inputs [begin, begin + count), with the share of each.
struct Taps {
  int begin, count;
  float first;  ///< from the output's centre to the first input's, in inputs
  float slope, scale;

  KERNELS_INLINE Taps(const Axis& axis, int output) : slope(axis.slope), scale(1) {
    const double centre = (double(output) + 0.5) * axis.scale;
    const int low = int(centre - axis.reach + 0.5), high = int(centre + axis.reach + 0.5);
    begin = low > 0 ? low : 0;
    count = (high < axis.from ? high : axis.from) - begin;
    first = float(begin + 0.5 - centre);
    float sum = 0;
    for (int i = 0; i < count; ++i) sum += share(i);
    scale = 1 / sum;
  }
  KERNELS_INLINE float share(int i) const {
    return i < count ? fmaxf(0.f, 1 - fabsf(first + float(i)) * slope) * scale : 0.f;
  }
  /// Lane `lane`'s.
  KERNELS_INLINE Taps of_lane(int lane) const {
    Taps t = *this;
    t.begin = __shfl_sync(all_lanes, begin, lane);
    t.count = __shfl_sync(all_lanes, count, lane);
    t.first = __shfl_sync(all_lanes, first, lane);
    t.scale = __shfl_sync(all_lanes, scale, lane);
    return t;
  }
};

/// The rows of a window of one frame, each summed across for the column that `taps` are of. The
/// last two are kept: neighbouring outputs sum them both.
class RowSums {
 public:
  KERNELS_INLINE RowSums(const Job& job, const Plan& plan, int64_t t, const Taps& taps)
      : job_(job), plan_(plan), t_(t), taps_(taps) {
#pragma unroll
    for (int k = 0; k < 4; ++k) first_shares_[k] = taps.share(k);
  }
  KERNELS_INLINE void of(int row, float (&sums)[3]) {
    if (row == newest_) return copy(last_, sums);
    if (row == newest_ - 1) return copy(before_, sums);
    sum(Row(job_, plan_, t_, row), sums);
    if (row < newest_) return;
    copy(last_, before_);
    copy(sums, last_);
    newest_ = row;
  }

 private:
  KERNELS_INLINE static void copy(const float (&from)[3], float (&to)[3]) {
#pragma unroll
    for (int c = 0; c < 3; ++c) to[c] = from[c];
  }
  KERNELS_INLINE void sum(const Row& row, float (&sums)[3]) const {
    sums[0] = sums[1] = sums[2] = 0;
    for (int i = 0; i < taps_.count; i += 4) {
      uint32_t bytes[3];
      row.four_pixels(3 * (plan_.left + taps_.begin + i), bytes);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const float share = i == 0 ? first_shares_[k] : taps_.share(i + k);
#pragma unroll
        for (int c = 0; c < 3; ++c) sums[c] += share * level_of(bytes, 3 * k + c);
      }
    }
  }

  const Job& job_;
  const Plan& plan_;
  const int64_t t_;
  const Taps taps_;
  float first_shares_[4], last_[3] = {}, before_[3] = {};
  int newest_ = -1;
};

/// How many pixels of a row a lane shows at once, and how many rows a run holds.
template <bool Scales>
inline constexpr int lane_pixels = Scales ? 1 : 4;
template <bool Scales>
inline constexpr int run_rows = Scales ? 16 : 1;

/// Calls emit(y, x, levels) for the run of frame `t`'s rows from `y` on and of the 32 *
/// lane_pixels columns from `column` on: in all lanes of a warp, row by row, with the levels of
/// pixels (y, x), (y, x + 1)... of the clip, some of which may lie behind its width.
template <class F>
KERNELS_INLINE void show_scaled(const Job& job, const Plan& plan, int64_t t, int y, int column,
                                F emit) {
  const int lane = int(threadIdx.x) % 32, x = column + lane;
  const int in = x < job.width ? x : job.width - 1;
  RowSums across(job, plan, t, Taps(plan.across, plan.mirrored ? job.width - 1 - in : in));
  // Each lane works out one of the rows; all lanes then need all of them.
  const int rows = job.height - y < run_rows<true> ? job.height - y : run_rows<true>;
  const Taps down(plan.down, y + (lane < rows ? lane : rows - 1));
  for (int i = 0; i < rows; ++i) {
    const Taps taps = down.of_lane(i);
    float levels[1][3] = {};
    for (int k = 0; k < taps.count; ++k) {
      const float share = taps.share(k);
      float sums[3];
      across.of(taps.begin + k, sums);
#pragma unroll
      for (int c = 0; c < 3; ++c) levels[0][c] += share * sums[c];
    }
    // Rounds halves to even: above 2^23 no fractions are left.
#pragma unroll
    for (int c = 0; c < 3; ++c) levels[0][c] = levels[0][c] + 8388608.f - 8388608.f;
    emit(y + i, x, levels);
  }
}
template <class F>
KERNELS_INLINE void show_cut(const Job& job, const Plan& plan, int64_t t, int y, int column,
                             F emit) {
  const int x = column + 4 * (int(threadIdx.x) % 32);
  const int from = plan.left + (plan.mirrored ? job.width - 4 - x : x);
  uint32_t bytes[3] = {};
  if (x < job.width) Row(job, plan, t, y).four_pixels(3 * from, bytes);
  float levels[4][3];
#pragma unroll
  for (int p = 0; p < 4; ++p)
#pragma unroll
    for (int c = 0; c < 3; ++c)
      levels[p][c] = plan.mirrored ? level_of(bytes, 3 * (3 - p) + c) : level_of(bytes, 3 * p + c);
  emit(y, x, levels);
}

KERNELS_INLINE float clamp1(float v) { return fminf(fmaxf(v, 0.f), 1.f); }
KERNELS_INLINE float grey(const float (&v)[3]) {
  return 0.2989f * v[0] + 0.587f * v[1] + 0.114f * v[2];
}
KERNELS_INLINE void blend(float (&v)[3], float f, float other) {
#pragma unroll
  for (int c = 0; c < 3; ++c) v[c] = clamp1(f * v[c] + (1 - f) * other);
}

/// HSV without its six cases: each colour is the largest less the range times a trapezium of the
/// hue, whose place is the colour's own.
KERNELS_INLINE void turn_hue(float (&v)[3], float sixths) {
  const float most = fmaxf(fmaxf(v[0], v[1]), v[2]);
  const float range = most - fminf(fminf(v[0], v[1]), v[2]);
  if (range == 0) return;  // grey has no hue
  const float inverse = 1 / range;
  const float at = (most == v[0]   ? (v[1] - v[2]) * inverse
                    : most == v[1] ? (v[2] - v[0]) * inverse + 2
                                   : (v[0] - v[1]) * inverse + 4) +
                   sixths;
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    float place = at + float(5 - 2 * c);  // 0 to 16
    place -= place >= 12 ? 12.f : place >= 6 ? 6.f : 0.f;
    v[c] = most - range * clamp1(fminf(place, 4 - place));
  }
}

/// The changes of a plan in their order: all, or those before the contrast.
template <bool BeforeContrast, int P>
KERNELS_INLINE void change_colours(const Plan& plan, float mean, float (&v)[P][3]) {
#pragma unroll 1
  for (int i = 0; i < 4 && plan.changes[i].what != Change::none; ++i) {
    const int what = plan.changes[i].what;
    const float amount = plan.changes[i].amount;
    if (BeforeContrast && what == Change::contrast) return;
#pragma unroll
    for (int p = 0; p < P; ++p) {
      if (what == Change::hue)
        turn_hue(v[p], amount);
      else
        blend(v[p], amount,
              what == Change::brightness ? 0.f
              : what == Change::contrast ? mean
                                         : grey(v[p]));
    }
  }
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::clip_transform
