#include "kernels/conv3d/conv3d_grouped.cuh"

// Forward and grad_input of groups of any size, product by product, in f32. A thread makes N
// channels (a depthwise convolution's pack of 16 bytes, or 1) of 4 results along w, those that the
// same taps reach: neighbours, or a stride apart in grad_input. A block keeps the weights of its
// channels in shared memory where they fit. x comes through L1 once a tap.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

/// The taps that reach one result along an axis: tap m = 0 .. taps-1 reads the source at `source` +
/// m * source_step and multiplies by the filter's `filter` + m * filter_step.
struct Reach {
  int taps, source, source_step, filter, filter_step;
};

struct DirectAxis {
  DirectAxis(const Conv3dOptions& o, const Shape& x, const Shape& w, const Shape& y, int axis,
             bool back_)
      : back(back_),
        results(int((back ? x : y)[axis + 1])),
        sources(int((back ? y : x)[axis + 1])),
        taps(int(w[axis + 1])),
        stride(int(o.stride[size_t(axis)])),
        dilation(int(o.dilation[size_t(axis)])),
        pad(int(o.pad_front[size_t(axis)])) {
    const int common = std::gcd(stride, dilation);
    period = stride / common;
    tap_step = dilation / common;
    // Tap a reaches a pixel if a * dilation = its position modulo stride.
    while (inverse < period && (int64_t(inverse) * tap_step - 1) % period != 0) ++inverse;
  }
  KERNELS_INLINE Reach reach(int result) const {
    if (!back) return {taps, result * stride - pad, dilation, 0, 1};
    const int position = result + pad, common = stride / period;
    const int first = int(int64_t(position / common) * inverse % period);
    const bool reached = position % common == 0 && first < taps;
    return {reached ? (taps - 1 - first) / period + 1 : 0,
            int((position - int64_t(first) * dilation) / stride), -tap_step, first, period};
  }
  /// Results that the same taps reach are so far apart, their sources so far.
  KERNELS_INLINE int result_step() const { return back ? stride : 1; }
  KERNELS_INLINE int source_step() const { return back ? 1 : stride; }

  bool back;
  int results, sources, taps, stride, dilation, pad;
  int period, tap_step, inverse = 0;
};

/// Strips of 4 results along w, by n, t, h and where they begin.
struct Strips {
  int64_t count;
  int phases;           ///< of w
  FastDivisor w, h, t;  ///< strips of a row, rows, frames
};

struct Direct {
  DirectAxis t, h, w;
  Strips strips;
  int64_t strips_of_tile;
  int channels;  ///< of the results
  bool staged;   ///< weights lie in shared memory
};

/// The weights from one result channel's group, in shared memory or as they are given.
template <class T>
struct DirectWeights {
  const T* base;
  int64_t t, h, w, inner, lane;
};

/// Weights of the block's channels into shared memory, as [tap][inner][channel].
template <class T>
KERNELS_INLINE void stage_weights(const Direct& d, const Filter<const T>& f, int first, int width,
                                  T* to) {
  const int inner = f.back ? f.outputs : f.inputs;
  const int count = d.t.taps * d.h.taps * d.w.taps * inner;
  const int threads = int(blockDim.x * blockDim.y);
  // Neighbours read neighbours: the last axis of the filter is c of kw, or i.
  for (int i = int(threadIdx.y * blockDim.x + threadIdx.x); i < count * width; i += threads) {
    const int channel = i / count, e = i % count, tap = e / inner, m = e % inner;
    const int c = first + channel;
    const int a = tap / (d.h.taps * d.w.taps), b = tap / d.w.taps % d.h.taps, v = tap % d.w.taps;
    T weight = from_float<T>(0);
    if (c < d.channels) {
      const int64_t k = f.back ? int64_t(c / f.inputs) * f.outputs + m : c;
      weight = f.base[k * f.k + a * f.t + b * f.h + v * f.w + (f.back ? c % f.inputs : m)];
    }
    to[int64_t(e) * width + channel] = weight;
  }
  __syncthreads();
}

/// sums[j] += products of the row of taps along w.
template <class T, int N>
KERNELS_INLINE void add_row(const DirectAxis& axis, const Reach& reach, const Pixels<const T>& x,
                            const T* row, const T* weights, const DirectWeights<T>& w, int inner,
                            int lanes, float (&sums)[conv3d_strip][N]) {
  for (int m = 0; m < reach.taps; ++m) {
    const T* weight = weights + (reach.filter + m * reach.filter_step) * w.w;
    const int source = reach.source + m * reach.source_step;
    for (int i = 0; i < inner; ++i) {
      float factor[N];
#pragma unroll
      for (int l = 0; l < N; ++l)
        factor[l] = l < lanes ? to_float(weight[i * w.inner + l * w.lane]) : 0;
#pragma unroll
      for (int j = 0; j < conv3d_strip; ++j) {
        const int at = source + j * axis.source_step();
        if (unsigned(at) >= unsigned(axis.sources)) continue;
        const Pack<T, N> pack = load_lanes<N>(row + at * x.w + i, lanes, x.packs);
#pragma unroll
        for (int l = 0; l < N; ++l) sums[j][l] += to_float(pack.lane[l]) * factor[l];
      }
    }
  }
}

/// Adds up what the threads of a column have seen, and writes it.
template <class T, int N>
KERNELS_INLINE void put_tally(const Epilogue<T>& e, const Tally<N>& tally, int c, float* shared) {
  Moments* all = reinterpret_cast<Moments*>(shared);
  __syncthreads();
#pragma unroll
  for (int i = 0; i < N; ++i) {
    all[threadIdx.y * blockDim.x + threadIdx.x] = e.moments(tally, i);
    __syncthreads();
    if (threadIdx.y == 0) {
      Moments sum = all[threadIdx.x];
      for (unsigned y = 1; y < blockDim.y; ++y)
        sum.merge(all[y * blockDim.x + threadIdx.x], e.sums());
      e.put(blockIdx.x, c + i, sum);
    }
    __syncthreads();
  }
}

template <class T, int N>
__global__ void __launch_bounds__(256, N == 1 ? 2 : 1)
    direct_kernel(Direct d, Pixels<const T> x, Filter<const T> f, Epilogue<T> e) {
  const int width = int(blockDim.x) * N, first = int(blockIdx.y) * width;
  const int c = first + int(threadIdx.x) * N;
  const int inner = f.back ? f.outputs : f.inputs;
  T* const shared = dynamic_shared<T>();
  DirectWeights<T> w;
  if (d.staged) {
    stage_weights(d, f, first, width, shared);
    const int64_t tap = int64_t(inner) * width;
    w = {shared + threadIdx.x * N, tap * d.h.taps * d.w.taps, tap * d.w.taps, tap, width, 1};
  } else {
    const int64_t k = f.back ? int64_t(c / f.inputs) * f.outputs : c;
    w = {f.base + k * f.k + (f.back ? c % f.inputs : 0), f.t, f.h, f.w, f.back ? f.k : 1, f.k};
  }
  const int source_channel = N > 1    ? c
                             : f.back ? c / f.inputs * f.outputs
                                      : c / f.outputs * f.inputs;
  // Elements of x from there on: a thread's lanes, or a group's channels one by one.
  const int lanes = N > 1 ? x.channels - c : 1;
  Tally<N> tally;
  const int64_t begin = blockIdx.x * d.strips_of_tile;
  for (int64_t i = begin + threadIdx.y; i < begin + d.strips_of_tile; i += blockDim.y) {
    if (i >= d.strips.count || c >= d.channels) break;
    const int64_t line = d.strips.w.quotient(i), frame = d.strips.h.quotient(line);
    const int strip = int(i - line * d.strips.w.divisor());
    const int h = int(line - frame * d.strips.h.divisor()), n = int(d.strips.t.quotient(frame));
    const int t = int(d.strips.t.remainder(frame));
    // Phases are the faster index: their strips read the same sources.
    const int v =
        strip % d.strips.phases + strip / d.strips.phases * conv3d_strip * d.w.result_step();
    const Reach rt = d.t.reach(t), rh = d.h.reach(h), rw = d.w.reach(v);
    float sums[conv3d_strip][N] = {};
    for (int a = 0; a < rt.taps; ++a) {
      const int st = rt.source + a * rt.source_step;
      if (unsigned(st) >= unsigned(d.t.sources)) continue;
      for (int b = 0; b < rh.taps; ++b) {
        const int sh = rh.source + b * rh.source_step;
        if (unsigned(sh) >= unsigned(d.h.sources)) continue;
        const T* weights = w.base + (rt.filter + a * rt.filter_step) * w.t +
                           (rh.filter + b * rh.filter_step) * w.h;
        add_row<T, N>(d.w, rw, x, x.at(n, st, sh, 0) + source_channel, weights, w, inner, lanes,
                      sums);
      }
    }
#pragma unroll
    for (int j = 0; j < conv3d_strip; ++j) {
      const int p[4] = {n, t, h, v + j * d.w.result_step()};
      if (p[3] >= d.w.results) continue;
      store_channels<N>(e.to, e.to.at(n, t, h, p[3]), c,
                        e.template finish<N>(sums[j], p, c, tally));
    }
  }
  if (e.statistics) put_tally<T, N>(e, tally, c, dynamic_shared<float>());
}

namespace {

void direct(const char* name, Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o,
            const View& x, const View& w, const View& y, bool back, const auto& epilogue) {
  // x and y as forward has them.
  const auto axis = [&](int i) { return DirectAxis(o, x.shape, w.shape, y.shape, i, back); };
  const View &from = back ? y : x, &to = back ? x : y;
  const Conv3dProblem problem{back ? Conv3dPass::grad_input : Conv3dPass::forward, o, x.shape,
                              w.shape, x.dtype};
  Direct d{axis(0),
           axis(1),
           axis(2),
           {},
           plan.rows / conv3d_strip,
           int(to.shape[4]),
           conv3d_direct_weights(problem, plan.columns) > 0};
  d.strips.count = conv3d_strips(problem);
  d.strips.phases = back ? conv3d_phases(o, x.shape, 2) : 1;
  d.strips.w = FastDivisor(d.strips.count / (to.shape[0] * to.shape[1] * to.shape[2]));
  d.strips.h = FastDivisor(to.shape[2]);
  d.strips.t = FastDivisor(to.shape[1]);
  dispatch_activation("conv3d", x.dtype, [&]<class T>(T) {
    const auto run = [&]<int N>(auto kernel, std::integral_constant<int, N>) {
      const Filter<const T> filter(w, o, back);
      const unsigned across = unsigned(plan.columns / N);
      launch(name, kernel,
             {.grid = dim3(unsigned(plan.pixel_tiles),
                           unsigned((to.shape[4] + plan.columns - 1) / plan.columns)),
              .block = dim3(across, unsigned(plan.threads) / across),
              .shared_bytes = plan.shared_bytes},
             stream, d, Pixels<const T>(from), filter, Epilogue<T>(to, epilogue));
    };
    if (w.shape[4] == 1 && w.shape[0] == x.shape[4])
      run(direct_kernel<T, pack_lanes<T>>, std::integral_constant<int, pack_lanes<T>>());
    else
      run(direct_kernel<T, 1>, std::integral_constant<int, 1>());
  });
}

}  // namespace

void forward_direct(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View x, View w,
                    View y, const Conv3dEpilogue& e) {
  direct("conv3d.forward", stream, plan, o, x, w, y, false, e);
}
void grad_input_direct(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View dy,
                       View w, View dx, const Conv3dGradEpilogue& e) {
  direct("conv3d.grad_input", stream, plan, o, dx, w, dy, true, e);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
