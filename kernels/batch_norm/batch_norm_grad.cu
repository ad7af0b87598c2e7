#include "kernels/batch_norm/batch_norm.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::batch_norm {

constexpr int resident = 3;  // blocks of a multiprocessor: with 80 registers a thread

/// What is read of the activations. x is not given where nothing depends on it; y is, where it
/// tells what the ReLU let pass.
template <class T>
struct Read {
  Rows<const T> dy, x, y;
  bool relu;
};

/// Numbers a channel.
struct GradChannels {
  const float *gamma, *beta, *mean, *rstd;
};

/// A thread's channels of them, in shared memory: registers are for what is on its way.
struct Own {
  const float *mean, *scale, *beta;
};

/// All threads of a block take part, and meet.
template <int N>
KERNELS_INLINE Own numbers_of(const Split& split, const GradChannels& channels) {
  KERNELS_SHARED(float, means, most_channels);
  KERNELS_SHARED(float, scales, most_channels);
  KERNELS_SHARED(float, betas, most_channels);
  each_channel<N>([&](int i, int64_t c) {
    const bool there = c < split.channels;
    means[i] = there ? channels.mean[c] : 0;
    scales[i] = there ? channels.gamma[c] * channels.rstd[c] : 0;
    betas[i] = there ? channels.beta[c] : 0;
  });
  __syncthreads();
  const unsigned first = threadIdx.x * N;
  return {means + first, scales + first, betas + first};
}

/// What is read of U rows: g = dy where the ReLU let the output pass, else 0; d = x - mean.
template <int U, class T, int N>
struct Tiles {
  Tile<U, T, N> dy, x, y;
  uint32_t passed = ~0u;  ///< a bit an element takes fewer registers than masked packs
  const float* mean;

  KERNELS_INLINE Tiles(const Read<T>& from, const Own& own, int64_t row, int64_t step, int64_t c)
      : mean(own.mean) {
    dy.load(from.dy, row, step, c);
    if (from.x) x.load(from.x, row, step, c);
    if (from.y) y.load(from.y, row, step, c);
    if (!from.relu) return;
    passed = 0;
#pragma unroll
    for (int u = 0; u < U; ++u) {
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const float before = from.y ? y(u, i) : normalised(d(u, i), own.scale[i], own.beta[i]);
        if (before > 0) passed |= 1u << (u * N + i);
      }
    }
  }
  KERNELS_INLINE float g(int u, int i) const { return passed & 1u << (u * N + i) ? dy(u, i) : 0; }
  KERNELS_INLINE float d(int u, int i) const { return x(u, i) - mean[i]; }
};

/// Sums over rows of g and of g * (x - mean), of N channels.
template <int N>
struct Sums {
  float g[N], gd[N];
  float unused;  // makes the number of words odd

  template <class Tiles>
  KERNELS_INLINE void add(const Tiles& tiles, int u) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      g[i] += tiles.g(u, i);
      gd[i] += tiles.g(u, i) * tiles.d(u, i);
    }
  }
  KERNELS_INLINE void merge(const Sums& other) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      g[i] += other.g[i];
      gd[i] += other.gd[i];
    }
  }
};

/// All that needs no total: the sums of each chunk, if `partials` is given; dresidual = g, and in
/// inference dx = gamma * rstd * g, if wanted.
template <class T, int N>
__global__ void __launch_bounds__(threads, resident)
    grad_sums_kernel(Split split, Read<T> from, GradChannels channels, Partial* partials,
                     Written<T> dx, Written<T> dresidual) {
  const Own own = numbers_of<N>(split, channels);
  const int64_t c = own_channel<N>();
  Sums<N> sums{};
  if (c < split.channels)
    each_row<2, false>(split, [&](auto count, int64_t row, int64_t step) {
      const Tiles<count, T, N> tiles(from, own, row, step, c);
#pragma unroll
      for (int u = 0; u < count; ++u) {
        if (partials) sums.add(tiles, u);
        if (dx)
          dx.template put<N>(row + u * step, c, split.channels,
                             [&](int i) { return own.scale[i] * tiles.g(u, i); });
        if (dresidual)
          dresidual.template put<N>(row + u * step, c, split.channels,
                                    [&](int i) { return tiles.g(u, i); });
      }
    });
  if (!partials) return;
  merge_columns(sums);
  put_partials<N>(split, partials, sums.g, sums.gd);
}

/// A gradient [C], or null.
struct ChannelTarget {
  explicit ChannelTarget(const BatchNormTarget& to)
      : data(to ? kernels::data<float>(to.view) : nullptr), accumulate(to.accumulate) {}
  KERNELS_INLINE void put(int64_t c, double value) const {
    if (data) data[c] = float(accumulate ? double(data[c]) + value : value);
  }
  float* data;
  bool accumulate;
};

/// A block a channel. `factors`, if given, become dbeta / M and dgamma * rstd / M.
__global__ void __launch_bounds__(finishing_threads)
    finish_grad_kernel(Split split, const Partial* partials, const float* rstd,
                       ChannelTarget dgamma, ChannelTarget dbeta, Partial* factors) {
  for (int64_t c = blockIdx.x; c < split.channels; c += gridDim.x) {
    const Partial* const mine = partials + c * split.blocks;
    const Totals sum = sum_chunks(mine, split.blocks, [](const Partial& p, int64_t) {
      return Totals{double(p.first), double(p.second)};
    });
    if (threadIdx.x) continue;
    const double r = double(rstd[c]);
    dbeta.put(c, sum.first);
    dgamma.put(c, sum.second * r);
    if (factors)
      factors[c] = {float(sum.first * split.share), float(sum.second * r * r * split.share)};
  }
}

/// dx in training: gamma * rstd * (g - first - (x - mean) * second).
template <class T, int N>
__global__ void __launch_bounds__(threads, resident)
    grad_input_kernel(Split split, Read<T> from, GradChannels channels, const Partial* factors,
                      Written<T> dx) {
  KERNELS_SHARED(float, firsts, most_channels);
  KERNELS_SHARED(float, seconds, most_channels);
  each_channel<N>([&](int i, int64_t c) {
    firsts[i] = c < split.channels ? factors[c].first : 0;
    seconds[i] = c < split.channels ? factors[c].second : 0;
  });
  const Own own = numbers_of<N>(split, channels);
  const int64_t c = own_channel<N>();
  if (c >= split.channels) return;
  float first[N], second[N];
  take_own(firsts, first);
  take_own(seconds, second);
  each_row<2, true>(split, [&](auto count, int64_t row, int64_t step) {
    const Tiles<count, T, N> tiles(from, own, row, step, c);
#pragma unroll
    for (int u = 0; u < count; ++u)
      dx.template put<N>(row + u * step, c, split.channels, [&](int i) {
        return own.scale[i] * (tiles.g(u, i) - first[i] - tiles.d(u, i) * second[i]);
      });
  });
}

template <class T>
void grad_as(Stream stream, const char* name, const BatchNormKept& k, const View& dy,
             const BatchNormTargets& to, bool training) {
  const bool second = training && to.dx, sums = second || to.dgamma || to.dbeta;
  const View x = sums || (k.relu && !k.y) ? k.x : View{}, y = k.relu ? k.y : View{};
  const GradChannels channels{data<float>(k.gamma), data<float>(k.beta), data<float>(k.mean),
                              data<float>(k.rstd)};
  bool packs = takes_packs(dy);
  for (const View& v : {x, y, to.dx.view, to.dresidual.view}) packs &= takes_packs(v);
  with_lanes<T>(packs, [&](auto lanes) {
    const Split split(k.x, lanes, resident);
    const int64_t count = sums ? split.channels * split.blocks : 0;
    const Workspace memory(stream, (count + split.channels) * int64_t(sizeof(Partial)));
    Partial* const partials = sums ? memory.data<Partial>() : nullptr;
    Partial* const factors = second ? memory.data<Partial>() + count : nullptr;
    const auto read = [&](const View& g, const View& mask, bool relu) {
      return Read<T>{Rows<const T>(g), Rows<const T>(x), Rows<const T>(mask), relu};
    };
    const BatchNormTarget now = training ? BatchNormTarget{} : to.dx;
    if (sums || now || to.dresidual)
      launch(name, grad_sums_kernel<T, lanes>, split.geometry(), stream, split, read(dy, y, k.relu),
             channels, partials, Written<T>(now.view, now.accumulate),
             Written<T>(to.dresidual.view, to.dresidual.accumulate));
    if (sums)
      launch(name, finish_grad_kernel, finishing(split), stream, split, partials, channels.rstd,
             ChannelTarget(to.dgamma), ChannelTarget(to.dbeta), factors);
    if (!second) return;
    // dresidual, just written, is g: one tensor to read in place of two.
    const bool again = y && to.dresidual && !to.dresidual.accumulate;
    launch(name, grad_input_kernel<T, lanes>, split.geometry(), stream, split,
           again ? read(to.dresidual.view, {}, false) : read(dy, y, k.relu), channels, factors,
           Written<T>(to.dx.view, to.dx.accumulate));
  });
}

void grad(Stream stream, const char* name, const BatchNormKept& k, const View& dy,
          const BatchNormTargets& to, bool training) {
  check_batch_norm_grad(k, dy, to, training);
  if (!k.x.shape[-1]) return;
  dispatch_activation("batch_norm", k.x.dtype,
                      [&]<class T>(T) { grad_as<T>(stream, name, k, dy, to, training); });
}

void train_grad(Stream stream, const BatchNormKept& k, View dy, const BatchNormTargets& to) {
  grad(stream, "batch_norm.train_grad", k, dy, to, true);
}
void infer_grad(Stream stream, const BatchNormKept& k, View dy, const BatchNormTargets& to) {
  grad(stream, "batch_norm.infer_grad", k, dy, to, false);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::batch_norm
