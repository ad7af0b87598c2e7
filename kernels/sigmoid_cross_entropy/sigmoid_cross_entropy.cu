#include "kernels/device/rows.h"
#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::sigmoid_cross_entropy {

constexpr int resident = 6;  // blocks a multiprocessor
constexpr int at_once = 16;  // elements of a row that a thread has in flight, if taken in packs

/// What one pass computes: what has no place to go is left out.
template <class T>
struct Task {
  Rows<const T> x;
  Rows<const float> targets;
  Rows<T> dlogits{};
  const float* dloss = nullptr;
  float* loss = nullptr;
  GridSum losses{};
  int64_t rows, classes;
  float keep, spread;  ///< 1 - smoothing, smoothing / 2
  double per_element;  ///< 1 / (rows * classes)
  int group = 1;
  bool accumulate = false;
};

/// The N elements at x, of which `rest` are there: gives their summed losses, and stores their
/// gradients at `to` if it is not null.
template <int N, class T>
KERNELS_INLINE float part(const Task<T>& a, const T* x, const float* targets, T* to, int rest,
                          float slope) {
  float logit[N], target[N], d[N] = {}, loss = 0;
  load_part<N>(x, rest, 0, logit);
  load_part<N>(targets, rest, 0, target);
  if (to && a.accumulate) load_part<N>(to, rest, 0, d);
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const float v = logit[k], q = a.keep * target[k] + a.spread, e = __expf(-fabsf(v));
    // log1p: of right answers nearly all the loss is lost in the rounding of 1 + e.
    if (a.loss && k < rest) loss += fmaxf(v, 0.f) - v * q + log1pf(e);
    // s - q, without a 1 that would swamp what is left of a right answer.
    const float wrong = __fdividef(e, 1.f + e);
    d[k] += (v >= 0.f ? (1.f - q) - wrong : wrong - q) * slope;
  }
  if (to) store_part<N>(to, rest, d);
  return loss;
}

template <class T, int N>
__global__ void __launch_bounds__(row_threads) rows_kernel(Task<T> a) {
  const RowGroup g(a.group);
  const int64_t step = int64_t(g.size) * N;
  const float slope = load_for_group(g, a.dloss, a.dloss != nullptr) * float(a.per_element);
  float losses = 0;
  for (int64_t row = g.first() + g.index; row < a.rows; row += g.step()) {
    const T* x = a.x(row);
    const float* targets = a.targets(row);
    T* to = a.dlogits ? a.dlogits(row) : nullptr;
#pragma unroll 2
    for (int64_t c = int64_t(g.lane) * N; c < a.classes; c += step)
      losses +=
          part<N>(a, x + c, targets + c, to ? to + c : nullptr, rest_of<N>(c, a.classes), slope);
  }
  double total;
  if (a.loss && grid_sum(a.losses, losses, total) && threadIdx.x == 0)
    *a.loss = float(total * a.per_element);
}

template <class T>
Task<T> task_of(const SigmoidCrossEntropyOptions& o, const View& logits, const View& targets) {
  return {.x = Rows<const T>(logits),
          .targets = Rows<const float>(targets),
          .rows = logits.shape[0],
          .classes = logits.shape[1],
          .keep = float(1 - o.smoothing),
          .spread = float(o.smoothing / 2),
          .per_element = 1 / double(logits.size())};
}

template <class T>
void run(const char* name, Stream stream, Task<T> task, bool packs) {
  with_lanes<T>(packs, [&](auto lanes) {
    const RowPlan plan =
        plan_rows(task.rows, task.classes, lanes, lanes == 1 ? 4 : at_once, resident);
    const GridSumMemory losses(stream, task.loss ? plan.grid.x : 0);
    task.losses = losses.get();
    task.group = plan.group;
    launch(name, rows_kernel<T, lanes>, {.grid = plan.grid, .block = row_threads}, stream, task);
  });
}

void forward(Stream stream, const SigmoidCrossEntropyOptions& o, View logits, View targets,
             View loss) {
  check_sigmoid_cross_entropy(o, logits, targets, loss);
  dispatch_activation("sigmoid_cross_entropy", logits.dtype, [&]<class T>(T) {
    Task<T> task = task_of<T>(o, logits, targets);
    task.loss = data<float>(loss);
    run("sigmoid_cross_entropy.forward", stream, task, takes_packs(logits) && takes_packs(targets));
  });
}

/// The gradient, and the loss where it is given.
void run_grad(const char* name, Stream stream, const SigmoidCrossEntropyOptions& o,
              const View& logits, const View& targets, const View& dloss, const View& loss,
              const View& dlogits, bool accumulate) {
  check_sigmoid_cross_entropy(o, logits, targets, dloss, dlogits);
  dispatch_activation("sigmoid_cross_entropy", logits.dtype, [&]<class T>(T) {
    Task<T> task = task_of<T>(o, logits, targets);
    task.dloss = data<const float>(dloss);
    task.loss = loss ? data<float>(loss) : nullptr;
    task.dlogits = Rows<T>(dlogits);
    task.accumulate = accumulate;
    run(name, stream, task, packs_or_clear(stream, {logits, targets}, dlogits));
  });
}

void grad(Stream stream, const SigmoidCrossEntropyOptions& o, View logits, View targets, View dloss,
          View dlogits, bool accumulate) {
  run_grad("sigmoid_cross_entropy.grad", stream, o, logits, targets, dloss, {}, dlogits,
           accumulate);
}

void forward_grad(Stream stream, const SigmoidCrossEntropyOptions& o, View logits, View targets,
                  View dloss, View loss, View dlogits, bool accumulate) {
  check_sigmoid_cross_entropy(o, logits, targets, loss);
  run_grad("sigmoid_cross_entropy.forward_grad", stream, o, logits, targets, dloss, loss, dlogits,
           accumulate);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::sigmoid_cross_entropy

namespace kinema::kernels {

const SigmoidCrossEntropy KERNELS_DEVICE(sigmoid_cross_entropy) = {
    .forward = device::sigmoid_cross_entropy::forward,
    .grad = device::sigmoid_cross_entropy::grad,
    .forward_grad = device::sigmoid_cross_entropy::forward_grad};

}  // namespace kinema::kernels
