#include "kernels/conv3d/conv3d_grouped.cuh"

// grad_weight of groups of any size, product by product, in f32. A block takes some channels of dy,
// 4 taps along w of one channel of a group, and a part of the pixels; its threads share the pixels
// out. The parts' sums go to the workspace, and a second kernel adds them up in order. dy is read
// for every 4 taps, x for every tap, through L1 and L2.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

constexpr int direct_taps = 4;

struct DirectWeight {
  int stride[3] = {}, dilation[3] = {}, pad[3] = {}, taps[3] = {}, sources[3] = {};
  int inputs, outputs, channels;  ///< of a group: of x, of y; of y
  int chunks;                     ///< of taps along w
  int splits;
  int64_t pixels;  ///< of dy
  FastDivisor t = {}, h = {}, w = {};
};

/// A block's work: tap (a, b) and the taps along w from c on, channel i of the group, and a split.
struct DirectTask {
  KERNELS_INLINE explicit DirectTask(const DirectWeight& d) {
    int rest = int(blockIdx.x);
    i = rest % d.inputs, rest /= d.inputs;
    c = rest % d.chunks * direct_taps, rest /= d.chunks;
    b = rest % d.taps[1], rest /= d.taps[1];
    a = rest % d.taps[0];
    split = rest / d.taps[0];
  }
  int a, b, c, i, split;
};

template <class T, int N>
__global__ void __launch_bounds__(256)
    direct_weight_kernel(DirectWeight d, Pixels<const T> x, Pixels<const T> dy, Gradients to) {
  const DirectTask task(d);
  const int k = int(blockIdx.y * blockDim.x + threadIdx.x) * N;
  const int channel = N > 1 ? k : k / d.outputs * d.inputs + task.i;
  const int lanes = N > 1 ? d.channels - k : 1;
  const int64_t begin = d.pixels * task.split / d.splits,
                end = d.pixels * (task.split + 1) / d.splits;
  float sums[direct_taps][N] = {};
  for (int64_t pixel = begin + threadIdx.y; k < d.channels && pixel < end; pixel += blockDim.y) {
    const int64_t line = d.w.quotient(pixel), frame = d.h.quotient(line);
    const int w = int(pixel - line * d.w.divisor()), h = int(line - frame * d.h.divisor());
    const int n = int(d.t.quotient(frame)), t = int(d.t.remainder(frame));
    const int source_t = t * d.stride[0] - d.pad[0] + task.a * d.dilation[0],
              source_h = h * d.stride[1] - d.pad[1] + task.b * d.dilation[1],
              source_w = w * d.stride[2] - d.pad[2] + task.c * d.dilation[2];
    if (unsigned(source_t) >= unsigned(d.sources[0]) ||
        unsigned(source_h) >= unsigned(d.sources[1]))
      continue;
    const Pack<T, N> factor = load_lanes<N>(dy.at(n, t, h, w) + k, lanes, dy.packs);
    const T* row = x.at(n, source_t, source_h, 0) + channel;
#pragma unroll
    for (int q = 0; q < direct_taps; ++q) {
      const int at = source_w + q * d.dilation[2];
      if (task.c + q >= d.taps[2] || unsigned(at) >= unsigned(d.sources[2])) continue;
      const Pack<T, N> pack = load_lanes<N>(row + at * x.w, lanes, x.packs);
#pragma unroll
      for (int l = 0; l < N; ++l) sums[q][l] += to_float(pack.lane[l]) * to_float(factor.lane[l]);
    }
  }
  // The threads of a column, in their order.
  float* const all = dynamic_shared<float>();
  const int first_tap = (task.a * d.taps[1] + task.b) * d.taps[2] + task.c;
#pragma unroll
  for (int q = 0; q < direct_taps; ++q)
#pragma unroll
    for (int l = 0; l < N; ++l) {
      __syncthreads();
      all[threadIdx.y * blockDim.x + threadIdx.x] = sums[q][l];
      __syncthreads();
      if (threadIdx.y || k + l >= d.channels || task.c + q >= d.taps[2]) continue;
      float sum = 0;
      for (unsigned y = 0; y < blockDim.y; ++y) sum += all[y * blockDim.x + threadIdx.x];
      to.put(task.split, k + l, first_tap + q, task.i, sum);
    }
}

/// dw = the sums of all parts, in their order.
__global__ void __launch_bounds__(256)
    add_parts_kernel(const float* parts, int splits, int taps, Gradients dw) {
  for (int64_t e = first_index(); e < dw.size; e += index_step()) {
    float sum = 0;
#pragma unroll 4
    for (int s = 0; s < splits; ++s) sum += parts[s * dw.size + e];
    const int64_t weight = e / dw.inputs;
    dw.put(0, weight / taps, int(weight % taps), int(e % dw.inputs), sum);
  }
}

void add_parts(Stream stream, const float* parts, int splits, const View& dw, bool accumulate) {
  if (splits == 1) return;
  launch("conv3d.add_parts", add_parts_kernel, {.grid = blocks_for(dw.size(), 256), .block = 256},
         stream, parts, splits, int(dw.shape[1] * dw.shape[2] * dw.shape[3]),
         Gradients(dw, 1, nullptr, accumulate));
}

void grad_weight_direct(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View x,
                        View dy, View dw, bool accumulate) {
  const Workspace workspace(stream, plan.workspace_bytes);
  DirectWeight d{.inputs = int(dw.shape[4]),
                 .outputs = int(dw.shape[0] / o.groups),
                 .channels = int(dw.shape[0]),
                 .chunks = int((dw.shape[3] + direct_taps - 1) / direct_taps),
                 .splits = plan.splits,
                 .pixels = dy.shape[0] * dy.shape[1] * dy.shape[2] * dy.shape[3]};
  for (int i = 0; i < 3; ++i) {
    d.stride[i] = int(o.stride[size_t(i)]);
    d.dilation[i] = int(o.dilation[size_t(i)]);
    d.pad[i] = int(o.pad_front[size_t(i)]);
    d.taps[i] = int(dw.shape[i + 1]);
    d.sources[i] = int(x.shape[i + 1]);
  }
  const auto divisor = [&](int axis) { return FastDivisor(std::max<int64_t>(1, dy.shape[axis])); };
  d.t = divisor(1), d.h = divisor(2), d.w = divisor(3);
  const int tasks = d.taps[0] * d.taps[1] * d.chunks * d.inputs;
  dispatch_activation("conv3d", x.dtype, [&]<class T>(T) {
    const auto run = [&](auto kernel, int lanes) {
      const unsigned across = unsigned(plan.columns / lanes);
      launch("conv3d.grad_weight", kernel,
             {.grid = dim3(unsigned(tasks) * unsigned(plan.splits),
                           unsigned((d.channels + plan.columns - 1) / plan.columns)),
              .block = dim3(across, unsigned(plan.threads) / across),
              .shared_bytes = plan.shared_bytes},
             stream, d, Pixels<const T>(x), Pixels<const T>(dy),
             Gradients(dw, plan.splits, workspace.data<float>(), accumulate));
    };
    if (dw.shape[4] == 1 && dw.shape[0] == x.shape[4])
      run(direct_weight_kernel<T, pack_lanes<T>>, pack_lanes<T>);
    else
      run(direct_weight_kernel<T, 1>, 1);
  });
  add_parts(stream, workspace.data<float>(), plan.splits, dw, accumulate);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
