// Pooling by cuDNN's resample operations. Their indices of maxima are the taps of the contract: the
// place in the window, row by row, the first of equals. What cuDNN does otherwise:
//   tensors without gaps alone (zero lanes are shown as channels): slices are Unsupported
//   a window of -infinity alone may name padding as where its maximum lies, and of several NaN
//   which one is named is not documented
//   a gradient that is added to dx is rounded to its type before
#include "kernels/cudnn/lanes.h"
#include "kernels/cudnn/plan_cache.h"
#include "kernels/cudnn/workspace.h"
#include "kernels/pool3d/pool3d_cudnn_layer.h"

namespace kinema::kernels {

namespace cudnn {

namespace {

const Pool3d& own() {
  check(&pool3d_cuda, "pool3d: this program was built without CUDA");
  return pool3d_cuda;
}

/// x or y as cuDNN is shown it.
View shown(const View& v) {
  const View wide = widened(v);
  if (is_dense(wide)) return wide;
  std::ostringstream text;
  text << "pool3d: cudnn takes tensors without gaps, got " << v.dtype << ' ' << v.shape
       << " whose pixels lie " << v.stride(3) << " apart; use --backend pool3d=cuda";
  throw Unsupported(text.str());
}

/// A dense view of `shape` in memory that is given later.
View dense(Dtype dtype, const Shape& shape) {
  View v{.data = nullptr, .dtype = dtype, .shape = shape};
  int64_t stride = 1;
  for (int a = shape.rank - 1; a >= 0; --a) {
    v.strides[size_t(a)] = stride;
    stride *= shape[a];
  }
  return v;
}

/// Memory that lies as cuDNN wants it: the caller's own where it does, else a workspace.
class Packed {
 public:
  Packed(Stream stream, const View& callers, const Shape& shape, bool in_place)
      : callers_(callers), view_(dense(callers.dtype, shape)), memory_(stream, bytes(in_place)) {
    view_.data = memory_.data() ? memory_.data() : callers.data;
  }
  void load(Stream stream) const {
    if (!memory_.data()) return;
    runtime_cuda.clear(stream, view_.data, view_.size() * size_of(view_.dtype));
    copy_cuda.forward(stream, callers_, inside(), false);
  }
  void store(Stream stream, bool accumulate) const {
    if (memory_.data()) copy_cuda.forward(stream, inside(), callers_, accumulate);
  }
  void* data() const { return view_.data; }

 private:
  int64_t bytes(bool in_place) const {
    const int64_t needed = view_.size() * size_of(view_.dtype);
    if (in_place) return 0;
    if (needed > workspace_limit)
      throw Unsupported(
          "pool3d: cudnn needs more than 64 MB to pack a tensor; use --backend "
          "pool3d=cuda");
    return needed;
  }
  View inside() const {
    View v = view_;
    v.shape = callers_.shape;
    return v;
  }
  View callers_, view_;
  Workspace memory_;
};

bool lies_as(const View& v, const Shape& shape) {
  const View wide = widened(v);
  return wide.shape == shape && is_dense(wide);
}

const Plan& plan_for(const char* what, const PoolLayer& l, const Shape& x) {
  // Behind the thread's handle, so that its plans go before that.
  static thread_local PlanCache<PoolLayer> mine = (handle({}), PlanCache<PoolLayer>());
  const Plan* plan = mine.find(l, 0, [&](int64_t most) { return plans_of(l, Target(), most); });
  if (plan) return *plan;
  std::ostringstream text;
  text << what << ": cudnn has no engine for x " << x << " in " << l.dtype
       << "; use --backend pool3d=cuda";
  throw Unsupported(text.str());
}

void run(const char* what, Stream stream, const Plan& plan, void* x, void* y, void* taps) {
  const Workspace workspace(stream, plan.workspace);
  const std::array<int64_t, 3> ids{id_pool_x, id_pool_y, id_pool_taps};
  const std::array<void*, 3> pointers{x, y, taps};
  const size_t count = taps ? 3 : 2;
  run(what, plan, stream, std::span(ids).first(count),
      std::span<void* const>(pointers).first(count), workspace.data());
}

void max_forward(Stream stream, const Pool3dOptions& o, View x, View y, View taps) {
  check_pool3d(o, x, y, taps);
  cudnn_type("pool3d", x.dtype);
  if (!y.size()) return own().max_forward(stream, o, x, y, taps);
  const View from = shown(x), to = shown(y);
  const PoolLayer layer = layer_of(PoolPass::max_forward, o, from, to, bool(taps));
  const Plan& plan = plan_for("pool3d.max_forward", layer, x.shape);
  if (!taps) return run("pool3d.max_forward", stream, plan, from.data, to.data, nullptr);
  const Packed places(stream, taps, to.shape, lies_as(taps, to.shape));
  run("pool3d.max_forward", stream, plan, from.data, to.data, places.data());
  places.store(stream, false);
}

void grad(const char* what, Stream stream, const PoolLayer& layer, const View& dy, const View& dx,
          void* taps, bool accumulate) {
  const Plan& plan = plan_for(what, layer, dx.shape);
  const Packed result(stream, dx, dx.shape, !accumulate);
  run(what, stream, plan, result.data(), dy.data, taps);
  result.store(stream, true);
}

void max_grad(Stream stream, const Pool3dOptions& o, View dy, View taps, View dx, bool accumulate) {
  check_pool3d(o, dx, dy, taps);
  check(bool(taps), "pool3d: the gradient of the maximum needs the taps");
  cudnn_type("pool3d", dx.dtype);
  if (!dy.size()) return own().max_grad(stream, o, dy, taps, dx, accumulate);
  const View from = shown(dy), to = shown(dx);
  const PoolLayer layer = layer_of(PoolPass::max_grad, o, to, from, true);
  const Packed places(stream, taps, from.shape, lies_as(taps, from.shape));
  places.load(stream);
  grad("pool3d.max_grad", stream, layer, from, to, places.data(), accumulate);
}

void average_forward(Stream stream, const Pool3dOptions& o, View x, View y) {
  check_pool3d(o, x, y);
  cudnn_type("pool3d", x.dtype);
  if (!y.size()) return own().average_forward(stream, o, x, y);
  const View from = shown(x), to = shown(y);
  const PoolLayer layer = layer_of(PoolPass::average_forward, o, from, to, false);
  const Plan& plan = plan_for("pool3d.average_forward", layer, x.shape);
  run("pool3d.average_forward", stream, plan, from.data, to.data, nullptr);
}

void average_grad(Stream stream, const Pool3dOptions& o, View dy, View dx, bool accumulate) {
  check_pool3d(o, dx, dy);
  cudnn_type("pool3d", dx.dtype);
  if (!dy.size()) return own().average_grad(stream, o, dy, dx, accumulate);
  const View from = shown(dy), to = shown(dx);
  const PoolLayer layer = layer_of(PoolPass::average_grad, o, to, from, false);
  grad("pool3d.average_grad", stream, layer, from, to, nullptr, accumulate);
}

}  // namespace

}  // namespace cudnn

const Pool3d pool3d_cudnn = {.max_forward = cudnn::max_forward,
                             .max_grad = cudnn::max_grad,
                             .average_forward = cudnn::average_forward,
                             .average_grad = cudnn::average_grad};

}  // namespace kinema::kernels
