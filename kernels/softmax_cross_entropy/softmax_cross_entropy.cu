#include "kernels/device/rows.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::softmax_cross_entropy {

constexpr int resident = 4;    // blocks a multiprocessor: more would leave too few registers
constexpr int most_held = 16;  // elements of a row in a thread's registers, if taken in packs
constexpr float infinity = __builtin_huge_valf();

constexpr int held(int lanes) { return lanes == 1 ? 8 : most_held; }

/// What one pass over rows computes: what has no place to go is left out.
template <class T>
struct Task {
  Rows<const T> x{};
  Rows<float> p{};  ///< the probabilities; grad reads them
  Rows<T> dlogits{};
  const int64_t* labels = nullptr;
  const float* dloss = nullptr;
  float* loss = nullptr;
  GridSum losses{};
  int64_t rows = 0, classes = 0;
  float smoothing = 0;
  float right = 1, spread = 0;        ///< q of the label's class, and of the others
  double per_row = 1, per_class = 1;  ///< reciprocals: a division would take a call
  int group = 1;
  bool accumulate = false;
};

/// Of a row x: its largest element, the sum of e^(x - most), the mean of most - x.
struct Total {
  float most, exponentials, distance;
};

/// sum over k of -q[k] * log p[k]; NaN where the label is no class.
template <class T>
KERNELS_INLINE float row_loss(const Task<T>& a, const T* x, int64_t label, const Total& total) {
  if (label < 0 || label >= a.classes) return nanf("");
  const float log_sum = logf(total.exponentials), keep = 1.f - a.smoothing;
  float loss = 0;
  if (keep > 0.f) loss += keep * (total.most - to_float(x[label]) + log_sum);
  // A class ruled out by -infinity costs nothing without smoothing.
  if (a.smoothing > 0.f) loss += a.smoothing * (total.distance + log_sum);
  return loss;
}

/// The mean of what the threads of the grid bring, one number a row.
template <class T>
KERNELS_INLINE void store_mean(const Task<T>& a, double losses) {
  double total;
  if (grid_sum(a.losses, losses, total) && threadIdx.x == 0) *a.loss = float(total * a.per_row);
}

/// dloss / N
template <class T>
KERNELS_INLINE float slope_of(const RowGroup& g, const Task<T>& a) {
  return load_for_group(g, a.dloss, a.dloss != nullptr) * float(a.per_row);
}
/// That of one row: NaN where its label is no class.
template <class T>
KERNELS_INLINE float slope_of(const Task<T>& a, float slope, int64_t label) {
  return label >= 0 && label < a.classes ? slope : nanf("");
}

/// The N elements of dlogits at `to`, of which `rest` are there and `right` is the label's.
template <int N, class T>
KERNELS_INLINE void store_gradient(const Task<T>& a, T* to, int rest, float slope, int right,
                                   const float (&p)[N]) {
  float d[N] = {};
  if (a.accumulate) load_part<N>(to, rest, 0, d);
#pragma unroll
  for (int k = 0; k < N; ++k) d[k] += (p[k] - (k == right ? a.right : a.spread)) * slope;
  store_part<N>(to, rest, d);
}
/// Which of the N elements from `first` on is the label's, as store_gradient has it.
template <int N>
KERNELS_INLINE int right_of(int64_t label, int64_t first) {
  return label >= first && label < first + N ? int(label - first) : -1;
}

KERNELS_INLINE float larger(float a, float b) { return fmaxf(a, b); }

/// A row stays in the registers of its group.
template <class T, int N>
__global__ void __launch_bounds__(row_threads, resident) rows_kernel(Task<T> a) {
  constexpr int packs = held(N) / N;
  const RowGroup g(a.group);
  const int first = g.lane * N, stride = g.size * N;
  const float slope = slope_of(g, a);
  float losses = 0;
  for (int64_t round = g.first(); round < a.rows; round += g.step()) {
    const bool live = round + g.index < a.rows;
    const int64_t row = live ? round + g.index : 0;
    const int mine = (live ? int(a.classes) : 0) - first;
    const T* x = a.x(row);
    float e[packs][N], most[1] = {-infinity}, sums[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < packs; ++i) {
      load_part<N>(x + first + i * stride, mine - i * stride, -infinity, e[i]);
#pragma unroll
      for (int k = 0; k < N; ++k) most[0] = fmaxf(most[0], e[i][k]);
    }
    const int64_t label = a.labels ? load_for_group(g, a.labels + row, live) : -1;
    group_reduce(g, most, larger);
#pragma unroll
    for (int i = 0; i < packs; ++i) {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float distance = most[0] - e[i][k];
        e[i][k] = __expf(-distance);
        sums[0] += e[i][k];
        sums[1] += k < mine - i * stride ? distance : 0.f;
      }
    }
    group_sum(g, sums);
    if (a.loss && live && g.lane == 0)
      losses += row_loss(a, x, label, {most[0], sums[0], sums[1] * float(a.per_class)});
    const float share = __fdividef(1.f, sums[0]);
    float* p = a.p ? a.p(row) + first : nullptr;
    T* dlogits = a.dlogits ? a.dlogits(row) + first : nullptr;
    const float of_row = slope_of(a, slope, label);
    const int right = int(label) - first;
#pragma unroll
    for (int i = 0; i < packs; ++i) {
      const int rest = mine - i * stride;
#pragma unroll
      for (int k = 0; k < N; ++k) e[i][k] *= share;
      if (p) store_part<N>(p + i * stride, rest, e[i]);
      if (dlogits)
        store_gradient<N>(a, dlogits + i * stride, rest, of_row, right - i * stride, e[i]);
    }
  }
  if (a.loss) store_mean(a, losses);
}

/// What one thread of a block sees of a row in one reading: the sum of exponentials moves with the
/// largest element, so that none overflows. Source: Milakov and Gimelshein, arXiv:1805.02867.
template <int N, class T>
KERNELS_INLINE Total total_of(const RowGroup& g, const T* x, int64_t classes, double per_class) {
  float mine = -infinity, sums[1] = {0};
  double logits[1] = {0};
  for (int64_t c = int64_t(g.lane) * N; c < classes; c += row_threads * N) {
    const int rest = rest_of<N>(c, classes);
    float v[N], most[1] = {mine}, sum = 0;
    load_part<N>(x + c, rest, -infinity, v);
#pragma unroll
    for (int k = 0; k < N; ++k) most[0] = fmaxf(most[0], v[k]);
    // All so far may be -infinity, of which e^(x - most) would make NaN.
    const float base = most[0] == -infinity ? 0.f : most[0];
    sums[0] *= __expf(mine - base);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      sums[0] += __expf(v[k] - base);
      sum += k < rest ? v[k] : 0.f;
    }
    logits[0] += double(sum);
    mine = most[0];
  }
  float most[1] = {mine};
  group_reduce(g, most, larger);
  sums[0] *= __expf(mine == most[0] ? 0.f : mine - most[0]);
  group_sum(g, sums);
  group_sum(g, logits);
  return {most[0], sums[0], float(double(most[0]) - logits[0] * per_class)};
}

/// Rows that no block holds: read a second time where more than the loss is asked for.
template <class T, int N>
__global__ void __launch_bounds__(row_threads) rereading_kernel(Task<T> a) {
  const RowGroup g(row_threads);
  const float slope = slope_of(g, a);
  float losses = 0;
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const T* x = a.x(row);
    const int64_t label = a.labels ? load_for_group(g, a.labels + row, true) : -1;
    const Total total = total_of<N>(g, x, a.classes, a.per_class);
    if (a.loss && threadIdx.x == 0) losses += row_loss(a, x, label, total);
    if (!a.p && !a.dlogits) continue;
    const float share = __fdividef(1.f, total.exponentials);
    for (int64_t c = int64_t(g.lane) * N; c < a.classes; c += row_threads * N) {
      const int rest = rest_of<N>(c, a.classes);
      float p[N];
      load_part<N>(x + c, rest, -infinity, p);
#pragma unroll
      for (int k = 0; k < N; ++k) p[k] = __expf(p[k] - total.most) * share;
      if (a.p) store_part<N>(a.p(row) + c, rest, p);
      if (a.dlogits)
        store_gradient<N>(a, a.dlogits(row) + c, rest, slope_of(a, slope, label),
                          right_of<N>(label, c), p);
    }
  }
  if (a.loss) store_mean(a, losses);
}

/// dlogits from probabilities.
template <class T, int N>
__global__ void __launch_bounds__(row_threads) grad_kernel(Task<T> a) {
  const RowGroup g(a.group);
  const float slope = slope_of(g, a);
  for (int64_t round = g.first(); round < a.rows; round += g.step()) {
    const bool live = round + g.index < a.rows;
    const int64_t row = live ? round + g.index : 0, label = load_for_group(g, a.labels + row, live);
    const int64_t step = int64_t(g.size) * N;
#pragma unroll 2
    for (int64_t c = int64_t(g.lane) * N; live && c < a.classes; c += step) {
      const int rest = rest_of<N>(c, a.classes);
      float p[N];
      load_part<N>(a.p(row) + c, rest, 0, p);
      store_gradient<N>(a, a.dlogits(row) + c, rest, slope_of(a, slope, label),
                        right_of<N>(label, c), p);
    }
  }
}

/// A task but for its tensors.
template <class T>
Task<T> task_of(double smoothing, int64_t rows, int64_t classes) {
  Task<T> task;
  task.rows = rows;
  task.classes = classes;
  task.per_row = 1 / double(rows);
  task.per_class = 1 / double(classes);
  task.smoothing = float(smoothing);
  task.spread = float(smoothing / double(classes));
  task.right = float(1 - smoothing + smoothing / double(classes));
  return task;
}

/// Runs a task over the rows of `task.x`.
template <class T>
void run(const char* name, Stream stream, Task<T> task, bool packs) {
  with_lanes<T>(packs, [&](auto lanes) {
    const RowPlan plan = plan_rows(task.rows, task.classes, lanes, held(lanes), resident);
    const GridSumMemory losses(stream, task.loss ? plan.grid.x : 0);
    task.losses = losses.get();
    task.group = plan.group;
    launch(name, plan.in_registers ? rows_kernel<T, lanes> : rereading_kernel<T, lanes>,
           {.grid = plan.grid, .block = row_threads}, stream, task);
  });
}

void forward(Stream stream, const SoftmaxCrossEntropyOptions& o, View logits, View labels,
             View loss, View p) {
  check_softmax_cross_entropy(o, logits, labels, loss, p);
  dispatch_activation("softmax_cross_entropy", logits.dtype, [&]<class T>(T) {
    Task<T> task = task_of<T>(o.smoothing, logits.shape[0], logits.shape[1]);
    task.labels = data<const int64_t>(labels);
    task.x = Rows<const T>(logits);
    task.p = Rows<float>(p);
    task.loss = data<float>(loss);
    run("softmax_cross_entropy.forward", stream, task, packs_or_clear(stream, {logits}, p));
  });
}

void forward_grad(Stream stream, const SoftmaxCrossEntropyOptions& o, View logits, View labels,
                  View dloss, View loss, View dlogits, bool accumulate) {
  check_softmax_cross_entropy_grad(o, logits, labels, dloss, loss, dlogits);
  dispatch_activation("softmax_cross_entropy", logits.dtype, [&]<class T>(T) {
    Task<T> task = task_of<T>(o.smoothing, logits.shape[0], logits.shape[1]);
    task.labels = data<const int64_t>(labels);
    task.x = Rows<const T>(logits);
    task.dloss = data<const float>(dloss);
    task.loss = data<float>(loss);
    task.dlogits = Rows<T>(dlogits);
    task.accumulate = accumulate;
    run("softmax_cross_entropy.forward_grad", stream, task,
        packs_or_clear(stream, {logits}, dlogits));
  });
}

void softmax(Stream stream, View x, View p) {
  check_softmax(x, p);
  if (!x.size()) return;
  dispatch_activation("softmax", x.dtype, [&]<class T>(T) {
    Task<T> task = task_of<T>(0, x.size() / x.shape[-1], x.shape[-1]);
    task.x = Rows<const T>(x);
    task.p = Rows<float>(p);
    run("softmax", stream, task, packs_or_clear(stream, {x}, p));
  });
}

void grad(Stream stream, const SoftmaxCrossEntropyOptions& o, View p, View labels, View dloss,
          View dlogits, bool accumulate) {
  check_softmax_cross_entropy(o, dlogits, labels, dloss, p);
  dispatch_activation("softmax_cross_entropy", dlogits.dtype, [&]<class T>(T) {
    Task<T> task = task_of<T>(o.smoothing, p.shape[0], p.shape[1]);
    task.labels = data<const int64_t>(labels);
    task.p = Rows<float>(p);
    task.dloss = data<const float>(dloss);
    task.dlogits = Rows<T>(dlogits);
    task.accumulate = accumulate;
    with_lanes<T>(packs_or_clear(stream, {p}, dlogits), [&](auto lanes) {
      const RowPlan plan = plan_rows(task.rows, task.classes, lanes, held(lanes), 8);
      task.group = plan.group;
      launch("softmax_cross_entropy.grad", grad_kernel<T, lanes>,
             {.grid = plan.grid, .block = row_threads}, stream, task);
    });
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::softmax_cross_entropy

namespace kinema::kernels {

const SoftmaxCrossEntropy KERNELS_DEVICE(softmax_cross_entropy) = {
    .forward = device::softmax_cross_entropy::forward,
    .grad = device::softmax_cross_entropy::grad,
    .forward_grad = device::softmax_cross_entropy::forward_grad,
    .softmax = device::softmax_cross_entropy::softmax};

}  // namespace kinema::kernels
