#pragma once
#include <initializer_list>
#include <type_traits>
#include "kernels/device/device.h"
#include "kernels/device/launch.h"

// For kernels that go through tensors row by row: threads form groups, a group takes a row at a
// time, and a thread sees the same elements of each row, in f32.
namespace kinema::kernels::device::inline KERNELS_TWIN {

/// The rows of a tensor; none where the View is not given.
template <class T>
struct Rows {
  Rows() = default;
  explicit Rows(const View& v) : base(v ? data<T>(v) : nullptr), offset(v) {}
  KERNELS_INLINE T* operator()(int64_t row) const { return base + offset(row); }
  KERNELS_INLINE explicit operator bool() const { return base != nullptr; }
  T* base = nullptr;
  RowIndex offset;
};

/// A tensor that is written, or added to; none where the View is not given.
template <class T>
struct Written {
  explicit Written(const View& v, bool accumulate_ = false)
      : rows(v), tail(v.tail), accumulate(accumulate_) {}
  KERNELS_INLINE explicit operator bool() const { return bool(rows); }

  /// lane(i) for channels c + i. Packs reach into the zero lanes, where it must be 0; elements do
  /// not, so that who stores the last zeroes them.
  template <int N, class F>
  KERNELS_INLINE void put(int64_t row, int64_t c, int64_t channels, F lane) const {
    T* const to = rows(row) + c;
    Pack<T, N> pack;
    if (accumulate) {
      pack = load_pack<N>(to);
#pragma unroll
      for (int i = 0; i < N; ++i) pack.lane[i] = from_float<T>(lane(i) + to_float(pack.lane[i]));
    } else {
#pragma unroll
      for (int i = 0; i < N; ++i) pack.lane[i] = from_float<T>(lane(i));
    }
    store_pack<N>(to, pack);
    if (N == 1 && c + 1 == channels)
      for (int64_t k = 1; k <= tail; ++k) to[k] = from_float<T>(0);
  }

  Rows<T> rows;
  int64_t tail;
  bool accumulate;
};

/// True if each row of v may be read and written in packs of 16 bytes: rows begin on such, and the
/// last pack ends in elements or in zero lanes of v. So may a tensor that is not given.
inline bool takes_packs(const View& v) {
  if (!v) return true;
  const int64_t count = v.shape[-1];
  return aligned(v) && round_up(count, 16 / size_of(v.dtype)) - count <= v.tail;
}

template <class T>
__global__ void __launch_bounds__(256)
    clear_tails_kernel(Rows<T> rows, int64_t count, int64_t channels, int64_t tail) {
  for (int64_t row = first_index(); row < count; row += index_step())
    for (int64_t k = 0; k < tail; ++k) rows(row)[channels + k] = from_float<T>(0);
}

/// True if a kernel that reads `read` and writes `written` by store_part() may take packs. Elements
/// do not reach into zero lanes: where it may not, those of `written` are zeroed here.
inline bool packs_or_clear(Stream stream, std::initializer_list<View> read, const View& written) {
  bool packs = takes_packs(written);
  for (const View& v : read) packs &= takes_packs(v);
  if (packs || !written.tail || !written.size()) return packs;
  dispatch_activation("zero lanes", written.dtype, [&]<class T>(T) {
    const RowIndex rows(written);
    launch("clear_tails", clear_tails_kernel<T>,
           {.grid = blocks_for(rows.rows(), 256), .block = 256}, stream, Rows<T>(written),
           rows.rows(), written.shape[-1], written.tail);
  });
  return packs;
}

/// f(N), N being how many elements of T a kernel takes at once, as a constant: those of 16 bytes,
/// or 1 where `packs` is false.
template <class T, class F>
void with_lanes(bool packs, const F& f) {
  if (packs) return f(std::integral_constant<int, pack_lanes<T>>());
  f(std::integral_constant<int, 1>());
}

/// to = the N elements at p as f32, of which `rest` are there; `fill` in place of the others.
template <int N, class T>
KERNELS_INLINE void load_part(const T* p, int rest, float fill, float (&to)[N]) {
  constexpr int lanes = N < pack_lanes<T> ? N : pack_lanes<T>;
#pragma unroll
  for (int q = 0; q < N; q += lanes) {
    Pack<T, lanes> pack{};
    if (q < rest) pack = load_pack<lanes>(p + q);
#pragma unroll
    for (int k = 0; k < lanes; ++k) to[q + k] = q + k < rest ? to_float(pack.lane[k]) : fill;
  }
}

/// The N elements at p, of which `rest` are there, = from, rounded; zeros behind them, as far as
/// the pack of the last reaches: see packs_or_clear().
template <int N, class T>
KERNELS_INLINE void store_part(T* p, int rest, const float (&from)[N]) {
  constexpr int lanes = N < pack_lanes<T> ? N : pack_lanes<T>;
#pragma unroll
  for (int q = 0; q < N; q += lanes) {
    Pack<T, lanes> pack;
#pragma unroll
    for (int k = 0; k < lanes; ++k) pack.lane[k] = from_float<T>(q + k < rest ? from[q + k] : 0.f);
    if (q < rest) store_pack<lanes>(p + q, pack);
  }
}

/// count - first for load_part and store_part: from N on they do not care.
template <int N>
KERNELS_INLINE int rest_of(int64_t first, int64_t count) {
  return int(count - first < N ? count - first : N);
}

/// Threads of a block.
inline constexpr int row_threads = 256;

/// How rows are dealt out.
struct RowPlan {
  int group = 1;  ///< threads of a row: a power of two, up to a block
  dim3 grid;
  /// The rows' elements stay in registers, `held` in each thread; else they are too long for that,
  /// a row is the work of a block, and what is needed again is read again.
  bool in_registers = true;
};

/// For rows of `count` elements that are taken `lanes` at a time. Rows stay in registers up to
/// row_threads * held elements. There are no more blocks than run at once, `resident` a
/// multiprocessor: what each reads at its start, parameters say, is to serve several rows.
inline RowPlan plan_rows(int64_t rows, int64_t count, int lanes, int held, int resident) {
  RowPlan plan;
  const int64_t packs = (count + lanes - 1) / lanes, each = held / lanes;
  while (plan.group < row_threads && plan.group * each < packs) plan.group *= 2;
  plan.in_registers = plan.group * each >= packs;
  const int64_t at_once = row_threads / plan.group, blocks = (rows + at_once - 1) / at_once;
  plan.grid = dim3(unsigned(std::clamp<int64_t>(blocks, 1, gpu().multiprocessors * resident)));
  return plan;
}

/// A thread's place in its group, and the rows that the group takes. All threads of a block make
/// the same number of rounds, so that they meet at shuffles and barriers:
///   for (int64_t round = g.first(); round < rows; round += g.step()) {
///     const int64_t row = round + g.index;  // none where row >= rows
class RowGroup {
 public:
  KERNELS_INLINE explicit RowGroup(int size_)
      : size(size_), lane(int(threadIdx.x) & (size_ - 1)), index(int(threadIdx.x) / size_) {}
  KERNELS_INLINE int at_once() const { return row_threads / size; }
  KERNELS_INLINE int64_t first() const { return int64_t(blockIdx.x) * at_once(); }
  KERNELS_INLINE int64_t step() const { return int64_t(gridDim.x) * at_once(); }

  int size, lane, index;
};

/// v[i] = the combination of v[i] of all threads of a group, in each of them, in a fixed order.
/// Groups of several warps meet at barriers of their own.
template <int n, class V, class F>
KERNELS_INLINE void group_reduce(const RowGroup& g, V (&v)[n], F combine) {
  for (int other = (g.size < 32 ? g.size : 32) / 2; other > 0; other /= 2) {
#pragma unroll
    for (int i = 0; i < n; ++i) v[i] = combine(v[i], __shfl_xor_sync(all_lanes, v[i], other));
  }
  if (g.size <= 32) return;
  KERNELS_SHARED(V, of_warps, n * row_threads / 32);
  V* parts = of_warps + g.index * (g.size / 32) * n;
  if (g.lane % 32 == 0) {
#pragma unroll
    for (int i = 0; i < n; ++i) parts[g.lane / 32 * n + i] = v[i];
  }
  barrier_sync(1 + g.index, g.size);
#pragma unroll
  for (int i = 0; i < n; ++i) v[i] = parts[i];
  for (int w = 1; w < g.size / 32; ++w) {
#pragma unroll
    for (int i = 0; i < n; ++i) v[i] = combine(v[i], parts[w * n + i]);
  }
  barrier_sync(1 + g.index, g.size);
}
template <int n, class V>
KERNELS_INLINE void group_sum(const RowGroup& g, V (&v)[n]) {
  group_reduce(g, v, [](V a, V b) { return a + b; });
}

/// *p, if `wanted`, read once a warp and group.
template <class V>
KERNELS_INLINE V load_for_group(const RowGroup& g, const V* p, bool wanted) {
  const int width = g.size < 32 ? g.size : 32;
  V v{};
  if (wanted && g.lane % width == 0) v = *p;
  return __shfl_sync(all_lanes, v, 0, width);
}

/// Where a grid of blocks adds up numbers, in an order that its shape alone decides.
struct GridSum {
  double* parts;      ///< one a block
  unsigned* counter;  ///< 0
};
/// Its memory, for one launch.
class GridSumMemory {
 public:
  GridSumMemory(Stream stream, int64_t blocks) : memory_(stream, (blocks + 1) * 8) {
    clear(stream, memory_.data(), 8);
  }
  GridSum get() const { return {memory_.data<double>() + 1, memory_.data<unsigned>()}; }

 private:
  Workspace memory_;
};
/// For blocks of row_threads: true in the block that comes last, in whose threads `total` is the
/// sum of all threads' values.
KERNELS_INLINE bool grid_sum(const GridSum& to, double value, double& total) {
  const RowGroup block(row_threads);
  double v[1] = {value};
  group_sum(block, v);
  if (threadIdx.x == 0) to.parts[blockIdx.x] = v[0];
  if (!is_last_block(to.counter, gridDim.x)) return false;
  v[0] = 0;
  for (unsigned b = threadIdx.x; b < gridDim.x; b += row_threads) v[0] += to.parts[b];
  group_sum(block, v);
  total = v[0];
  return true;
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
