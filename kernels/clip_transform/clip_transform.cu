#include <cmath>
#include <vector>
#include "kernels/clip_transform/clip_transform.cuh"
#include "kernels/clip_transform/clip_transform.h"
#include "kernels/device/launch.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::clip_transform {

constexpr int threads = 256, warps = threads / 32;

/// Calls emit as show_scaled() or show_cut() does, for run `run` of a frame.
template <bool Scales, class F>
KERNELS_INLINE void show_run(const Job& job, const Plan& plan, int64_t t, int64_t run, F emit) {
  const int64_t strip = job.columns.quotient(run);
  const int y = int(strip) * run_rows<Scales>,
            x = int(run - strip * job.columns.divisor()) * 32 * lane_pixels<Scales>;
  if constexpr (Scales)
    show_scaled(job, plan, t, y, x, emit);
  else
    show_cut(job, plan, t, y, x, emit);
}

template <int P>
KERNELS_INLINE void to_unit(float (&v)[P][3]) {
#pragma unroll
  for (int p = 0; p < P; ++p)
#pragma unroll
    for (int c = 0; c < 3; ++c) v[p][c] *= 1 / 255.f;
}

/// The sum of a frame's greys before its contrast changes, in parts of their own: a block each.
template <bool Scales>
__global__ void __launch_bounds__(threads) grey_kernel(const __grid_constant__ Job job) {
  constexpr int pixels = lane_pixels<Scales>;
  const int64_t parts = job.parts.divisor() * job.times.divisor() * job.count;
  for (int64_t i = blockIdx.x; i < parts; i += gridDim.x) {
    const int64_t frame = job.parts.quotient(i), part = i - frame * job.parts.divisor(),
                  clip = job.times.quotient(frame), t = frame - clip * job.times.divisor();
    const Plan& plan = job.plans[clip];
    if (!plan.contrast) continue;
    double sum = 0;
    const int64_t first = part * job.runs_a_part, behind = first + job.runs_a_part;
    for (int64_t run = first + threadIdx.x / 32; run < behind && run < job.runs.divisor();
         run += warps)
      show_run<Scales>(job, plan, t, run, [&](int, int x, float(&v)[pixels][3]) {
        to_unit(v);
        change_colours<true>(plan, 0.f, v);
#pragma unroll
        for (int p = 0; p < pixels; ++p)
          if (x + p < job.width) sum += double(grey(v[p]));
      });
    sum = block_sum<threads>(sum);
    if (threadIdx.x == 0) job.greys[i] = sum;
  }
}

/// The mean grey of a frame, in all lanes.
KERNELS_INLINE float mean_grey(const Job& job, int64_t frame) {
  double sum = 0;
  const int64_t parts = job.parts.divisor();
  for (int64_t i = threadIdx.x % 32; i < parts; i += 32) sum += job.greys[frame * parts + i];
  return float(warp_sum(sum) * job.pixels_inverse);
}

/// Writes one row's run of the clip: through shared memory, so that neighbouring lanes write
/// neighbouring packs; element by element where rows are not made of packs.
template <class T, int P>
KERNELS_INLINE void write_run(const Job& job, T* to, int x, const float (&v)[P][3], T* staged) {
  const int lane = int(threadIdx.x) % 32, first = x - P * lane;
  if (!job.packs) {
#pragma unroll
    for (int p = 0; p < P; ++p) {
      if (x + p >= job.width) break;
      T* pixel = to + (x + p) * job.clip_pixel;
#pragma unroll
      for (int c = 0; c < 3; ++c) pixel[c] = from_float<T>(v[p][c]);
      for (int64_t c = 3; c < 3 + job.clip_tail; ++c) pixel[c] = from_float<T>(0);
    }
    return;
  }
#pragma unroll
  for (int k = 0; k < 3; ++k) {
    float part[P];
#pragma unroll
    for (int j = 0; j < P; ++j) part[j] = v[(P * k + j) / 3][(P * k + j) % 3];
    store_floats<P>(staged + 3 * P * lane + P * k, part);
  }
  __syncwarp();
  constexpr int lanes = pack_lanes<T>;
  const int left = job.width - first, count = 3 * (left < 32 * P ? left : 32 * P);
  for (int i = lane * lanes; i < count; i += 32 * lanes) {
    if (i + lanes <= count)
      store_pack(to + 3 * first + i, load_pack<lanes>(staged + i));
    else
      for (int k = i; k < count; ++k) to[3 * first + k] = staged[k];
  }
  __syncwarp();
}

template <class T, bool Scales>
__global__ void __launch_bounds__(threads)
    forward_kernel(const __grid_constant__ Job job, T* clips) {
  constexpr int pixels = lane_pixels<Scales>;
  struct Run {
    alignas(16) T v[96 * pixels];
  };
  KERNELS_SHARED(Run, staging, warps);
  T* staged = staging[threadIdx.x / 32].v;
  const int64_t runs = job.runs.divisor() * job.times.divisor() * job.count;
  float mean = 0;
  int64_t mean_of = -1;
  for (int64_t i = first_index() / 32; i < runs; i += index_step() / 32) {
    const int64_t frame = job.runs.quotient(i), clip = job.times.quotient(frame),
                  t = frame - clip * job.times.divisor();
    const Plan& plan = job.plans[clip];
    if (plan.contrast && frame != mean_of) {
      mean = mean_grey(job, frame);
      mean_of = frame;
    }
    const bool changes = plan.changes[0].what != Change::none;
    T* to = clips + plan.clip * job.clip_n + t * job.clip_t;
    show_run<Scales>(
        job, plan, t, i - frame * job.runs.divisor(), [&](int y, int x, float(&v)[pixels][3]) {
          if (changes) {
            to_unit(v);
            change_colours<false>(plan, mean, v);
          }
#pragma unroll
          for (int p = 0; p < pixels; ++p)
#pragma unroll
            for (int c = 0; c < 3; ++c)
              v[p][c] = v[p][c] * (changes ? job.unit_gain[c] : job.gain[c]) + job.shift[c];
          write_run(job, to + y * job.clip_row, x, v, staged);
        });
  }
}

inline Axis axis_of(int64_t from, int64_t to) {
  const double scale = double(from) / double(to), reach = std::max(1., scale);
  return {scale, reach, float(1 / reach), int(from)};
}

/// The changes that change something, in their order.
inline void set_changes(const ColourChange& c, Plan& plan) {
  const double amounts[] = {c.brightness, c.contrast, c.saturation,
                            6 * (c.hue - std::floor(c.hue))};
  int count = 0;
  for (int what : c.order)
    if (amounts[what] != (what == Change::hue ? 0 : 1))
      plan.changes[count++] = {what, float(amounts[what])};
  for (; count < 4; ++count) plan.changes[count] = {Change::none, 0};
  plan.contrast = c.contrast != 1;
}

inline Plan plan_of(const ClipPlan& p, int64_t clip, const Job& job) {
  Plan plan{};
  plan.clip = clip;
  plan.top = int(p.top);
  plan.left = int(p.left);
  plan.mirrored = p.mirrored;
  if (p.scales()) {
    plan.down = axis_of(p.height, job.height);
    plan.across = axis_of(p.width, job.width);
  }
  set_changes(p.colour, plan);
  return plan;
}

/// What all launches share.
inline Job job_of(const ClipTransformOptions& o, const View& frames, const View& clip) {
  Job job{};
  job.frames = data<const uint8_t>(frames);
  job.frame_n = frames.stride(0), job.frame_t = frames.stride(1), job.frame_row = frames.stride(2);
  job.clip_n = clip.stride(0), job.clip_t = clip.stride(1), job.clip_row = clip.stride(2);
  job.clip_pixel = clip.stride(3), job.clip_tail = clip.tail;
  job.row_bytes = int(3 * frames.shape[3]);
  job.height = int(clip.shape[2]), job.width = int(clip.shape[3]);
  job.words = aligned(frames.slice(3, 0, 1), 4);
  job.packs = clip.stride(3) == 3 && !clip.tail && aligned(clip.slice(3, 0, 1));
  for (size_t c = 0; c < 3; ++c) {
    job.gain[c] = float(1 / (255 * o.deviation[c]));
    job.unit_gain[c] = float(1 / o.deviation[c]);
    job.shift[c] = float(-o.mean[c] / o.deviation[c]);
  }
  job.times = FastDivisor(clip.shape[1]);
  job.pixels_inverse = 1 / (double(job.height) * double(job.width));
  return job;
}

/// One launch for the plans that `job` holds, and one more before it where a contrast changes.
template <class T, bool Scales>
void launch_job(Stream stream, Job& job, T* clip) {
  constexpr int64_t columns = 32 * lane_pixels<Scales>, rows = run_rows<Scales>;
  job.columns = FastDivisor((job.width + columns - 1) / columns);
  job.runs = FastDivisor((job.height + rows - 1) / rows * job.columns.divisor());
  // So many runs a part that no frame has more than 32 parts, but no warp of them is idle.
  job.runs_a_part = std::max<int64_t>((job.runs.divisor() + 31) / 32, warps);
  job.parts = FastDivisor((job.runs.divisor() + job.runs_a_part - 1) / job.runs_a_part);
  const int64_t frames = job.times.divisor() * job.count;
  const bool contrast =
      std::any_of(job.plans, job.plans + job.count, [](const Plan& p) { return p.contrast; });
  const Workspace greys(stream,
                        contrast ? frames * job.parts.divisor() * int64_t(sizeof(double)) : 0);
  job.greys = greys.data<double>();
  if (contrast)
    launch("clip_transform.grey", grey_kernel<Scales>,
           {.grid = blocks_for(frames * job.parts.divisor() * threads, threads), .block = threads},
           stream, job);
  launch("clip_transform.forward", forward_kernel<T, Scales>,
         {.grid = blocks_for(frames * job.runs.divisor() * 32, threads), .block = threads}, stream,
         job, clip);
}

/// Launches for the clips that are scaled, or for those that are not.
template <class T, bool Scales>
void forward_as(Stream stream, std::span<const ClipPlan> plans, Job& job, T* clip) {
  job.count = 0;
  for (size_t n = 0; n < plans.size(); ++n) {
    if (plans[n].scales() != Scales) continue;
    job.plans[job.count++] = plan_of(plans[n], int64_t(n), job);
    if (job.count < plans_a_launch) continue;
    launch_job<T, Scales>(stream, job, clip);
    job.count = 0;
  }
  if (job.count) launch_job<T, Scales>(stream, job, clip);
}

void forward(Stream stream, const ClipTransformOptions& o, std::span<const ClipPlan> plans,
             View frames, View clip) {
  check_clip_transform(o, plans, frames, clip);
  if (!clip.size()) return;
  constexpr int64_t most = 1 << 28;
  for (const Shape& s : {frames.shape, clip.shape})
    check(s[2] < most && s[3] < most, "clip_transform: on a device sides must be below ", most,
          " pixels, got ", s);
  Job job = job_of(o, frames, clip);
  dispatch_activation("clip_transform", clip.dtype, [&]<class T>(T) {
    forward_as<T, false>(stream, plans, job, data<T>(clip));
    forward_as<T, true>(stream, plans, job, data<T>(clip));
  });
}

void scale(Stream, const ClipPlan&, View, View) {
  fail("clip_transform: a device scales frames only on their way into a clip");
}
void change_colours(Stream, const ColourChange&, View) {
  fail("clip_transform: a device changes colours only on their way into a clip");
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::clip_transform

namespace kinema::kernels {

const ClipTransform KERNELS_DEVICE(clip_transform) = {
    .forward = device::clip_transform::forward,
    .scale = device::clip_transform::scale,
    .change_colours = device::clip_transform::change_colours};

}  // namespace kinema::kernels
