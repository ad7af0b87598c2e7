#include "kernels/reduce/reduce.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::reduce {

/// What keeps any of today's devices busy: a fixed number, so that all of them sum in one order.
constexpr int64_t sum_threads = 1 << 18;

KERNELS_INLINE double to_double(double v) { return v; }
template <class T>
KERNELS_INLINE double to_double(T v) {
  return double(to_float(v));
}

template <class T>
KERNELS_INLINE T from_double(double v) {
  if constexpr (std::is_same_v<T, double>)
    return v;
  else if constexpr (std::is_same_v<T, float>)
    return float(v);
  else
    return from_float<T>(half_bits::rounded_to_odd(v));
}

/// Where sums go: rows of y, or, between two steps, of a workspace in double.
struct Target {
  Target(const View& y, double scale, bool accumulate)
      : data(y.data),
        type(y.dtype),
        rows(y),
        length(y.shape[-1]),
        owned(y.shape[-1] + y.tail),
        scale(scale),
        accumulate(accumulate),
        packs(aligned(y)) {}

  /// The sums of the N elements of row `row` from c on; behind the row's last, its zero lanes.
  template <int N>
  KERNELS_INLINE void store(int64_t row, int64_t c, const double (&sums)[N]) const {
    switch (type) {
      case Dtype::f32:
        return store_as<float>(row, c, sums);
      case Dtype::bf16:
        return store_as<bf16>(row, c, sums);
      case Dtype::f16:
        return store_as<f16>(row, c, sums);
      default:
        return store_as<double>(row, c, sums);
    }
  }

  template <class Y, int N>
  KERNELS_INLINE void store_as(int64_t row, int64_t c, const double (&sums)[N]) const {
    Y* to = static_cast<Y*>(data) + rows(row) + c;
    Pack<Y, N> lanes = {};
    if (accumulate) lanes = load_lanes<N>(to, length - c, packs);
#pragma unroll
    for (int k = 0; k < N; ++k)
      lanes.lane[k] =
          c + k < length ? from_double<Y>(to_double(lanes.lane[k]) + scale * sums[k]) : Y{};
    store_lanes<N>(to, lanes, owned - c, packs);
    if (c + N < length) return;
#pragma unroll 1
    for (int64_t i = N; c + i < owned; ++i) to[i] = Y{};
  }

  void* data;
  Dtype type;
  RowIndex rows;
  int64_t length, owned;
  double scale;
  bool accumulate, packs;
};

/// Adds up what the lanes of each sum hold, into lane 0, in an order that their number decides.
/// Shared memory `parts` holds N doubles a thread.
template <int N>
KERNELS_INLINE void combine_lanes(double* parts, double (&sums)[N]) {
  double* mine = parts + (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
#pragma unroll
  for (int k = 0; k < N; ++k) mine[k * threads] = sums[k];
  for (unsigned count = blockDim.y; count > 1;) {
    const unsigned half = (count + 1) / 2;
    __syncthreads();
    if (threadIdx.y + half < count) {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        sums[k] += mine[k * threads + half * blockDim.x];
        mine[k * threads] = sums[k];
      }
    }
    count = half;
  }
  __syncthreads();
}

/// The sums of elements, or of their squares.
template <class T, int N>
__global__ void __launch_bounds__(threads, 4)
    sum_kernel(const T* x, Items items, Tasks tasks, Target y, bool squared) {
  KERNELS_SHARED(double, parts, N* threads);
  for (int64_t block = blockIdx.x; block < tasks.blocks(); block += gridDim.x) {
    const Task task = tasks(block);
    double sums[N] = {};
    const auto add = [&](const Pack<T, N>& pack) {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const double v = to_double(pack.lane[k]);
        sums[k] += squared ? v * v : v;
      }
    };
    if (task.busy) {
      const T* from = x + items.groups(task.group) + task.pack * N;
      const int lanes = tasks.plan.lanes;
      const auto add_batch = [&](auto count, auto offset) {
        Pack<T, N> packs[count];
#pragma unroll
        for (int j = 0; j < count; ++j) packs[j] = load_pack<N>(from + offset(j));
#pragma unroll
        for (int j = 0; j < count; ++j) add(packs[j]);
      };
      if (items.even) {
        in_batches<4>(task.first, task.end, lanes, [&](auto count, int64_t i) {
          add_batch(count, [&](int j) { return (i + j * lanes) * items.pitch; });
        });
      } else {
        in_batches<2>(task.first, task.end, lanes, [&](auto count, int64_t i) {
          add_batch(count, [&](int j) { return items.spot<N>(i + j * lanes, task.pack).offset; });
        });
      }
      if (items.rest && task.end == items.count && threadIdx.y == 0)
        add(load_lanes<N>(from + items.count * N, items.rest, false));
    }
    if (items.whole) {
#pragma unroll
      for (int k = 1; k < N; ++k) {
        sums[0] += sums[k];
        sums[k] = 0;
      }
    }
    if (tasks.plan.lanes > 1) combine_lanes<N>(parts, sums);
    if (task.busy && threadIdx.y == 0) y.store(task.sum, task.pack * N, sums);
  }
}

/// y, in one step where that keeps a device busy, else in two.
template <class T, int N>
void sum(const char* name, Stream stream, const View& x, const Items& items, const Target& y,
         bool squared, bool cut = true) {
  const Tasks tasks(items.problem(N * sizeof(T), N),
                    {.threads = sum_threads, .lane_items = 4, .cut = cut});
  const auto run = [&](const Target& to) {
    launch(name, sum_kernel<T, N>, tasks.geometry(), stream, data<T>(x), items, tasks, to, squared);
  };
  const int64_t pieces = tasks.plan.pieces;
  if (pieces == 1) return run(y);
  const Shape rows{items.groups.rows(), pieces, items.whole ? 1 : items.length};
  const Workspace space(stream, rows.size() * int64_t(sizeof(double)));
  const View parts{.data = space.data(),
                   .dtype = Dtype::f64,
                   .shape = rows,
                   .strides = {pieces * rows[2], rows[2], 1}};
  run(Target(parts, 1, false));
  const ReduceOptions over_pieces{.axes = {false, true, false}};
  sum<double, 1>(name, stream, parts, Items(over_pieces, parts, 1), y, false, false);
}

void sum(const char* name, Stream stream, const ReduceOptions& o, const View& x, const Target& y,
         bool squared) {
  dispatch_activation("reduce", x.dtype, [&]<class T>(T) {
    const Items in_packs(o, x, pack_lanes<T>);
    if (in_packs.fit)
      sum<T, pack_lanes<T>>(name, stream, x, in_packs, y, squared);
    else
      sum<T, 1>(name, stream, x, Items(o, x, 1), y, squared);
  });
}

void forward(Stream stream, const ReduceOptions& o, View x, View y, bool accumulate) {
  check_reduce(o, x, y);
  if (y.size()) sum("reduce.forward", stream, o, x, Target(y, o.scale, accumulate), false);
}

void squared_norm(Stream stream, View x, View y, bool accumulate) {
  check_number("squared_norm", "y", y, Dtype::f64);
  if (!x.size()) return accumulate ? void() : clear(stream, y.data, sizeof(double));
  ReduceOptions all;
  std::fill_n(all.axes.begin(), x.shape.rank, true);
  sum("reduce.squared_norm", stream, all, x, Target(y, 1, accumulate), true);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::reduce

namespace kinema::kernels {

const Reduce KERNELS_DEVICE(reduce) = {.forward = device::reduce::forward,
                                       .broadcast = device::reduce::broadcast,
                                       .squared_norm = device::reduce::squared_norm};

}  // namespace kinema::kernels
