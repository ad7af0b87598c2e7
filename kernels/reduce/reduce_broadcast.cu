#include "kernels/reduce/reduce.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::reduce {

/// What is broadcast: rows of T, or of f32 beside it.
struct Source {
  template <class T, int N>
  KERNELS_INLINE void load(int64_t row, int64_t c, float (&to)[N]) const {
    const int64_t at = rows(row) + c;
    narrow ? load_from(static_cast<const T*>(data) + at, length - c, to)
           : load_from(static_cast<const float*>(data) + at, length - c, to);
  }
  template <class Y, int N>
  KERNELS_INLINE void load_from(const Y* from, int64_t count, float (&to)[N]) const {
    const Pack<Y, N> lanes = load_lanes<N>(from, count, packs);
#pragma unroll
    for (int k = 0; k < N; ++k) to[k] = to_float(lanes.lane[k]);
  }

  const void* data;
  RowIndex rows;
  int64_t length;
  bool narrow, packs;
};

/// Stores a pack; with the last of a row also the zero lanes behind it.
template <class T, int N>
KERNELS_INLINE void store_spot(T* to, bool last, const Items& items, float (&from)[N]) {
  if (last) {
    const int64_t count = items.length - (items.packs.divisor() - 1) * N,
                  owned = count + items.owned - items.length;
#pragma unroll
    for (int k = 0; k < N; ++k)
      if (k >= count) from[k] = 0;
#pragma unroll 1
    for (int64_t i = N; i < owned; ++i) to[i] = T{};
  }
  store_floats<N>(to, from);
}

/// dx = scale * dy. A thread keeps its dy for all of its items.
template <class T, int N>
__global__ void __launch_bounds__(threads, 3)
    broadcast_kernel(Source dy, float scale, T* dx, Items items, Tasks tasks, bool accumulate) {
  for (int64_t block = blockIdx.x; block < tasks.blocks(); block += gridDim.x) {
    const Task task = tasks(block);
    if (!task.busy) continue;
    float value[N];
    dy.load<T>(task.group, task.pack * N, value);
    T* const base = dx + items.groups(task.group) + task.pack * N;
    const float one = value[0];
#pragma unroll
    for (int k = 0; k < N; ++k) value[k] = scale * (items.whole ? one : value[k]);
    const auto put = [&](const Items::Spot& at, const Pack<T, N>& old) {
      float sum[N];
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] = accumulate ? to_float(old.lane[k]) + value[k] : value[k];
      store_spot<T, N>(base + at.offset, at.last, items, sum);
    };
    const int lanes = tasks.plan.lanes;
    if (!accumulate) {
      for (int64_t i = task.first; i < task.end; i += lanes) put(items.spot<N>(i, task.pack), {});
      continue;
    }
    in_batches<4>(task.first, task.end, lanes, [&](auto count, int64_t i) {
      Items::Spot spots[count];
      Pack<T, N> old[count];
#pragma unroll
      for (int j = 0; j < count; ++j) {
        spots[j] = items.spot<N>(i + j * lanes, task.pack);
        old[j] = load_pack<N>(base + spots[j].offset);
      }
#pragma unroll
      for (int j = 0; j < count; ++j) put(spots[j], old[j]);
    });
  }
}

void broadcast(Stream stream, const ReduceOptions& o, View dy, View dx, bool accumulate) {
  check_reduce(o, dx, dy);
  if (!dx.size()) return;
  // The more elements a thread makes, the less often a dy is read.
  const ReduceGrain grain{
      .threads = int64_t(gpu().multiprocessors) * gpu().threads_per_multiprocessor,
      .lane_items = 16,
      .cut = true};
  const Source from{dy.data, RowIndex(dy), dy.shape[-1], dy.dtype == dx.dtype, aligned(dy)};
  dispatch_activation("reduce", dx.dtype, [&]<class T>(T) {
    const auto run = [&](auto kernel, const Items& items, int lanes) {
      const Tasks tasks(items.problem(lanes * int(sizeof(T)), lanes), grain);
      launch("reduce.broadcast", kernel, tasks.geometry(), stream, from, float(o.scale),
             data<T>(dx), items, tasks, accumulate);
    };
    const Items in_packs(o, dx, pack_lanes<T>);
    if (in_packs.fit && !in_packs.rest)
      run(broadcast_kernel<T, pack_lanes<T>>, in_packs, pack_lanes<T>);
    else
      run(broadcast_kernel<T, 1>, Items(o, dx, 1), 1);
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::reduce
