// Convolutions by cuDNN's backend API. What it has no engine for, and what it does not know how to
// add to a sum, is Unsupported; a pass around the convolution (packing, zero lanes, the sum of dy)
// is our own kernels'.
#include "kernels/conv3d/conv3d_cudnn.h"
#include "kernels/conv3d/conv3d_cudnn_layer.h"
#include "kernels/copy/copy.h"
#include "kernels/cudnn/plan_cache.h"
#include "kernels/cudnn/workspace.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/reduce/reduce.h"

namespace kinema::kernels {

namespace cudnn {

namespace {

const Copy& own_copy() { return copy(Backend::cuda); }

/// The layer's plan of the current rank; null where there are fewer.
const Plan* find_plan(const ConvolutionLayer& layer) {
  // Behind the thread's handle, so that its plans go before that.
  static thread_local PlanCache<ConvolutionLayer> mine =
      (handle({}), PlanCache<ConvolutionLayer>());
  return mine.find(layer, Conv3dCudnnRankScope::current(),
                   [&](int64_t most) { return plans_of(layer, Target(), most); });
}

const Plan& plan_for(const ConvolutionLayer& l, const View& x, const View& w) {
  const Plan* plan = find_plan(l);
  if (plan) return *plan;
  std::ostringstream text;
  text << "conv3d." << name_of(l.pass) << ": cudnn has no engine";
  if (const int64_t rank = Conv3dCudnnRankScope::current()) text << " of rank " << rank;
  text << " for x " << x.shape << " and w " << w.shape << " in " << l.dtype
       << " that is deterministic" << (l.exact ? ", exact in f32" : "") << " and needs at most "
       << (workspace_limit >> 20) << " MB; use --backend conv3d=cuda";
  throw Unsupported(text.str());
}

void run(const Plan& plan, Stream stream, const ConvolutionLayer& l, const CudnnViews& v,
         const View& bias = {}) {
  const Workspace workspace(stream, plan.workspace);
  const std::array<int64_t, 4> ids{id_x, id_w, id_y, id_bias};
  const std::array<void*, 4> pointers{v.x.data, v.w.data, v.y.data, bias.data};
  const size_t count = bias ? 4 : 3;
  constexpr const char* names[] = {"conv3d.forward", "conv3d.grad_input", "conv3d.grad_weight"};
  run(names[int(l.pass)], plan, stream, std::span(ids).first(count),
      std::span<void* const>(pointers).first(count), workspace.data());
}

int64_t bytes_of(const View& v) { return v.size() * size_of(v.dtype); }

/// The filters of a convolution, or a bias, in memory as cuDNN wants it: the caller's own where it
/// lies so, else a workspace.
class Packed {
 public:
  /// `wanted` has the caller's memory or none.
  Packed(Stream stream, const View& wanted)
      : view_(wanted), own_(stream, !wanted || wanted.data ? 0 : bytes_of(wanted)) {
    if (!view_.data) view_.data = own_.data();
  }
  /// Fills it from `v`, zeros beyond.
  void load(Stream stream, const View& v) const {
    if (view_.data == v.data) return;
    if (view_.size() != v.size()) runtime_cuda.clear(stream, view_.data, bytes_of(view_));
    own_copy().forward(stream, v, part(v.shape), false);
  }
  const View& view() const { return view_; }
  /// Its first elements along each axis.
  View part(const Shape& shape) const {
    View v = view_;
    v.shape = shape;
    return v;
  }

 private:
  View view_;
  Workspace own_;
};

/// Zeroes the lanes behind the rows of what cuDNN has written without them.
void zero_lanes(Stream stream, const View& y, const View& written) {
  if (written.shape[4] != y.shape[4] || !y.tail) return;
  View lanes = y;
  lanes.data = static_cast<char*>(y.data) + y.shape[4] * size_of(y.dtype);
  lanes.shape[4] = y.tail;
  lanes.tail = 0;
  own_copy().fill(stream, lanes, 0);
}

/// A value a channel as a tensor of five axes.
View by_channel(View v) {
  const int64_t k = v.shape[0];
  v.shape = {1, 1, 1, 1, k};
  v.strides = {k, k, k, k, 1};
  return v;
}
constexpr ReduceOptions over_pixels{.axes = {true, true, true, true}};

/// What an engine has not done: each step rounds to y's type.
void finish(Stream stream, const View& y, const Conv3dEpilogue& e) {
  if (e.bias) reduce(Backend::cuda).broadcast(stream, over_pixels, by_channel(e.bias), y, true);
  if (e.relu) pointwise(Backend::cuda).forward(stream, Unary::relu, y, y);
}

void forward(Stream stream, const Conv3dOptions& o, View x, View w, View y,
             const Conv3dEpilogue& e) {
  check_conv3d(o, x, w, y, e);
  if (e.scale || e.shift || e.residual || e.partials)
    throw Unsupported(
        "conv3d.forward: cudnn takes a bias and a ReLU, got scale, shift, residual "
        "or partials; use --backend conv3d=cuda");
  if (!y.size()) return;
  if (!x.size()) {
    own_copy().fill(stream, y, 0);
    return finish(stream, y, e);
  }
  CudnnViews v = cudnn_views(o, x, w, y);
  ConvolutionLayer layer = layer_of(Conv3dPass::forward, o, v);
  layer.bias = bool(e.bias);
  layer.relu = e.relu;
  const bool fused = find_plan(layer) != nullptr;
  if (!fused) layer.bias = layer.relu = false;
  const Plan& plan = plan_for(layer, x, w);

  const Packed filters(stream, v.w);
  filters.load(stream, w);
  v.w = filters.view();
  View wanted = e.bias;
  if (layer.bias && v.y.shape[4] != y.shape[4])
    wanted = {.data = nullptr, .dtype = Dtype::f32, .shape = {v.y.shape[4]}, .strides = {1}};
  const Packed bias(stream, layer.bias ? wanted : View{});
  if (layer.bias) bias.load(stream, e.bias);
  run(plan, stream, layer, v, bias.view());
  if (!fused) finish(stream, y, e);
  zero_lanes(stream, y, v.y);
}

void grad_input(Stream stream, const Conv3dOptions& o, View dy, View w, View dx,
                const Conv3dGradEpilogue& e) {
  check_conv3d_input(o, dy, w, dx, e);
  if (e.mask || e.sums)
    throw Unsupported(
        "conv3d.grad_input: cudnn takes neither mask nor sums; use --backend conv3d=cuda");
  if (!dx.size()) return;
  if (!dy.size()) {
    if (!e.accumulate) own_copy().fill(stream, dx, 0);
    return;
  }
  CudnnViews v = cudnn_views(o, dx, w, dy);
  ConvolutionLayer layer = layer_of(Conv3dPass::grad_input, o, v);
  layer.accumulate = e.accumulate;
  const Plan& plan = plan_for(layer, dx, w);
  const Packed filters(stream, v.w);
  filters.load(stream, w);
  v.w = filters.view();
  run(plan, stream, layer, v);
  zero_lanes(stream, dx, v.x);
}

/// Hands over what cuDNN has left in a type of 16 bits, or with other lanes.
void store(Stream stream, const View& from, const View& dw, bool accumulate) {
  if (from.dtype == dw.dtype || !accumulate)
    return own_copy().forward(stream, from, dw, accumulate);
  View wide = fresh_layout(dw.dtype, dw.shape);
  const Workspace memory(stream, span(wide) * size_of(wide.dtype));
  wide.data = memory.data();
  own_copy().forward(stream, from, wide, false);
  own_copy().forward(stream, wide, dw, true);
}

/// cuDNN has no engine that leaves f32 beside factors of 16 bits: sums are rounded to the type of
/// x and dy once, as PyTorch's are, and then widened.
void grad_weight(Stream stream, const Conv3dOptions& o, View x, View dy, View dw, bool accumulate) {
  check_conv3d_weight(o, x, dy, dw);
  if (!dw.size()) return;
  if (!dy.size() || !x.size()) {
    if (!accumulate) own_copy().fill(stream, dw, 0);
    return;
  }
  CudnnViews v = cudnn_views(o, x, dw, dy);
  const bool direct = v.w.data != nullptr;
  ConvolutionLayer layer = layer_of(Conv3dPass::grad_weight, o, v);
  layer.accumulate = direct && accumulate;
  const Plan& plan = plan_for(layer, x, dw);
  const Packed filters(stream, v.w);
  v.w = filters.view();
  run(plan, stream, layer, v);
  if (!direct) store(stream, filters.part(dw.shape), dw, accumulate);
}

void grad_bias(Stream stream, View dy, View db, bool accumulate) {
  check_conv3d_bias(dy, db);
  reduce(Backend::cuda).forward(stream, over_pixels, dy, by_channel(db), accumulate);
}

}  // namespace

}  // namespace cudnn

const Conv3d conv3d_cudnn = {.forward = cudnn::forward,
                             .grad_input = cudnn::grad_input,
                             .grad_weight = cudnn::grad_weight,
                             .grad_bias = cudnn::grad_bias,
                             .tiles = one_tile};

std::vector<Conv3dCudnnPlan> conv3d_cudnn_plans(const Conv3dProblem& p, int64_t most,
                                                const std::string& gpu) {
  const Shape y = conv3d_output(p.options, p.x, p.w);
  if (!y.size() || !p.x.size()) return {};
  const cudnn::CudnnViews v = cudnn::cudnn_views(
      p.options, fresh_layout(p.dtype, p.x), fresh_layout(p.dtype, p.w), fresh_layout(p.dtype, y));
  const cudnn::ConvolutionLayer layer = cudnn::layer_of(p.pass, p.options, v);
  const cudnn::Target target = gpu.empty() ? cudnn::Target() : cudnn::Target(gpu);
  std::vector<Conv3dCudnnPlan> plans;
  for (const cudnn::Plan& plan : cudnn::plans_of(layer, target, most))
    plans.push_back({plan.name, plan.workspace, cudnn::text_of(plan.notes)});
  return plans;
}

}  // namespace kinema::kernels
