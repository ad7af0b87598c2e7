// Batch normalisation by cuDNN's norm operations, in training, and by its fused element-wise ones
// in inference. What cuDNN does otherwise:
//   tensors without gaps alone, whose rows are a multiple of 16 bytes (zero lanes are shown as
//   channels); no residual without a ReLU in training: else Unsupported
//   statistics and infer_grad, whose sums are no part of a norm operation, are missing
//   running variances are documented without the factor M / (M - 1), which its older functions
//   apply; the test on a GPU holds them against the reference
//   a gradient under ReLU without y computes the sign as cuDNN's inference does: an output within
//   rounding of 0 may be taken for open that forward has shut, and back. Whether a dy that is not
//   finite passes a shut ReLU is not documented
//   with y the masked dy goes through dresidual or a workspace, and a gradient that is added to dx
//   is rounded to its type before
#include "kernels/batch_norm/batch_norm_cudnn_layer.h"
#include "kernels/cudnn/lanes.h"
#include "kernels/cudnn/plan_cache.h"
#include "kernels/cudnn/workspace.h"
#include "kernels/pointwise/pointwise.h"

namespace kinema::kernels {

namespace cudnn {

namespace {

const BatchNorm& own() {
  check(&batch_norm_cuda, "batch_norm: this program was built without CUDA");
  return batch_norm_cuda;
}

const Plan& plan_for(const char* what, const NormLayer& l, const View& x) {
  // Behind the thread's handle, so that its plans go before that.
  static thread_local PlanCache<NormLayer> mine = (handle({}), PlanCache<NormLayer>());
  const Plan* plan = mine.find(l, 0, [&](int64_t most) { return plans_of(l, Target(), most); });
  if (plan) return *plan;
  std::ostringstream text;
  text << what << ": cudnn has no engine for x " << x.shape << " in " << l.dtype
       << (l.residual ? " with a residual" : "") << (l.relu ? " with a ReLU" : "")
       << "; use --backend batch_norm=cuda";
  throw Unsupported(text.str());
}

/// Memory that cuDNN reads or writes: the caller's, or, where `workspace` is not 0, so many bytes
/// that lie like it.
class Place {
 public:
  Place(Stream stream, const View& callers, int64_t workspace)
      : callers_(callers), bytes_(workspace), memory_(stream, workspace) {}
  void* data() const { return bytes_ ? memory_.data() : callers_.data; }
  View view() const {
    View v = callers_;
    v.data = data();
    return v;
  }
  void load(Stream stream) const {
    if (!bytes_) return;
    runtime_cuda.clear(stream, data(), bytes_);
    copy_cuda.forward(stream, callers_, view(), false);
  }
  void store(Stream stream, bool accumulate) const {
    if (bytes_ && callers_) copy_cuda.forward(stream, view(), callers_, accumulate);
  }

 private:
  View callers_;
  int64_t bytes_;
  Workspace memory_;
};

/// A number for each channel that cuDNN is shown; those of zero lanes are 0.
class Numbers : public Place {
 public:
  Numbers(Stream stream, const View& callers, const NormLayer& l, bool in_place = true)
      : Place(stream, callers,
              in_place && callers.shape[0] == l.x.size[1] ? 0
                                                          : l.x.size[1] * int64_t(sizeof(float))) {}
};
/// Numbers that cuDNN reads.
class Given : public Numbers {
 public:
  Given(Stream stream, const View& callers, const NormLayer& l) : Numbers(stream, callers, l) {
    load(stream);
  }
};

struct Argument {
  int64_t id;
  void* pointer;
};

void run(const char* what, Stream stream, const Plan& plan, std::span<const Argument> arguments) {
  const Workspace workspace(stream, plan.workspace);
  std::vector<int64_t> ids;
  std::vector<void*> pointers;
  for (const Argument& a : arguments) {
    if (!a.pointer) continue;
    ids.push_back(a.id);
    pointers.push_back(a.pointer);
  }
  run(what, plan, stream, ids, pointers, workspace.data());
}

void train_forward(Stream stream, const BatchNormOptions& o, View x, const BatchNormParameters& p,
                   const BatchNormEpilogue& e, View y, const BatchNormSaved& s) {
  constexpr const char* what = "batch_norm.train_forward";
  check_batch_norm(o, x, p, e, y, true);
  if (!x.size()) return own().train_forward(stream, o, x, p, e, y, s);
  const View tensors[] = {x, y, e.residual};
  NormLayer l = norm_layer(NormPass::train_forward, tensors);
  l.relu = e.relu;
  l.residual = bool(e.residual);
  const Plan& plan = plan_for(what, l, x);
  const Given gamma(stream, p.gamma, l), beta(stream, p.beta, l),
      running_mean(stream, p.running_mean, l), running_var(stream, p.running_var, l);
  const Numbers mean(stream, s.mean, l), rstd(stream, s.rstd, l);
  auto eps = float(o.eps), momentum = float(o.momentum);
  // Running statistics are updated in place, as cudnn-frontend's own tests do.
  const Argument arguments[] = {{id_norm_x, x.data},
                                {id_norm_y, y.data},
                                {id_norm_residual, e.residual.data},
                                {id_norm_gamma, gamma.data()},
                                {id_norm_beta, beta.data()},
                                {id_norm_mean, mean.data()},
                                {id_norm_rstd, rstd.data()},
                                {id_norm_eps, &eps},
                                {id_norm_momentum, &momentum},
                                {id_norm_running_mean, running_mean.data()},
                                {id_norm_running_var, running_var.data()},
                                {id_norm_new_mean, running_mean.data()},
                                {id_norm_new_var, running_var.data()}};
  run(what, stream, plan, arguments);
  const std::initializer_list<const Place*> written{&running_mean, &running_var, &mean, &rstd};
  for (const Place* numbers : written) numbers->store(stream, false);
  // Lanes have a variance of 0, whose root has no reciprocal.
  if (o.eps == 0) zero_lanes(stream, y);
}

void infer_forward(Stream stream, const BatchNormOptions& o, View x, const BatchNormParameters& p,
                   const BatchNormEpilogue& e, View y, const BatchNormSaved& s) {
  constexpr const char* what = "batch_norm.infer_forward";
  check_batch_norm(o, x, p, e, y, false);
  if (!x.size()) return own().infer_forward(stream, o, x, p, e, y, s);
  const View tensors[] = {x, y, e.residual};
  NormLayer l = norm_layer(NormPass::infer_forward, tensors);
  l.relu = e.relu;
  l.residual = bool(e.residual);
  const Plan& plan = plan_for(what, l, x);
  // Mean and rstd are all that our own pass writes of no rows.
  const View no_rows = x.slice(0, 0, 0);
  own().infer_forward(stream, o, no_rows, p, {}, no_rows, s);
  const Given gamma(stream, p.gamma, l), beta(stream, p.beta, l), mean(stream, s.mean, l),
      rstd(stream, s.rstd, l);
  const Argument arguments[] = {{id_norm_x, x.data},
                                {id_norm_y, y.data},
                                {id_norm_residual, e.residual.data},
                                {id_norm_gamma, gamma.data()},
                                {id_norm_beta, beta.data()},
                                {id_norm_mean, mean.data()},
                                {id_norm_rstd, rstd.data()}};
  run(what, stream, plan, arguments);
}

/// Bytes of workspace in the place of a tensor of x's shape. Unsupported: more than the limit.
int64_t bytes_like_x(const NormLayer& l) {
  int64_t bytes = size_of(l.dtype);
  for (const int64_t n : l.x.size) bytes *= n;
  if (bytes > workspace_limit)
    throw Unsupported(
        "batch_norm: cudnn needs more than 64 MB to mask dy, or to add to dx; use --backend "
        "batch_norm=cuda");
  return bytes;
}

void train_grad(Stream stream, const BatchNormKept& k, View dy, const BatchNormTargets& to) {
  constexpr const char* what = "batch_norm.train_grad";
  check_batch_norm_grad(k, dy, to, true);
  const bool wanted = to.dx || to.dgamma || to.dbeta;
  if (!k.x.size() || !wanted) return own().train_grad(stream, k, dy, to);
  // With y our own kernel masks dy, in dresidual where that is to hold it anyway.
  const bool masked = k.relu && k.y, kept = masked && to.dresidual && !to.dresidual.accumulate;
  const View passed = kept ? to.dresidual.view : masked ? k.x : dy;
  const View tensors[] = {k.x, passed, to.dx.view};
  NormLayer l = norm_layer(NormPass::train_grad, tensors);
  l.relu = k.relu && !masked;
  const bool direct = to.dx && !to.dx.accumulate;
  const int64_t for_dy = masked && !kept ? bytes_like_x(l) : 0,
                for_dx = direct ? 0 : bytes_like_x(l);
  const Plan& plan = plan_for(what, l, k.x);

  const Place g(stream, passed, for_dy), dx(stream, to.dx.view, for_dx);
  if (masked) pointwise_cuda.grad(stream, Unary::relu, k.y, dy, g.view(), false);
  if (to.dresidual && !kept)
    copy_cuda.forward(stream, g.view(), to.dresidual.view, to.dresidual.accumulate);
  const Given gamma(stream, k.gamma, l), beta(stream, k.beta, l), mean(stream, k.mean, l),
      rstd(stream, k.rstd, l);
  const Numbers dgamma(stream, to.dgamma.view, l, to.dgamma && !to.dgamma.accumulate),
      dbeta(stream, to.dbeta.view, l, to.dbeta && !to.dbeta.accumulate);
  const Argument arguments[] = {{id_norm_x, k.x.data},
                                {id_norm_dy, g.data()},
                                {id_norm_dx, dx.data()},
                                {id_norm_gamma, gamma.data()},
                                {id_norm_mean, mean.data()},
                                {id_norm_rstd, rstd.data()},
                                {id_norm_dgamma, dgamma.data()},
                                {id_norm_dbeta, dbeta.data()},
                                {id_norm_beta, l.relu ? beta.data() : nullptr}};
  run(what, stream, plan, arguments);
  dx.store(stream, to.dx.accumulate);
  dgamma.store(stream, to.dgamma.accumulate);
  dbeta.store(stream, to.dbeta.accumulate);
}

}  // namespace

}  // namespace cudnn

const BatchNorm batch_norm_cudnn = {.statistics = nullptr,
                                    .train_forward = cudnn::train_forward,
                                    .infer_forward = cudnn::infer_forward,
                                    .train_grad = cudnn::train_grad,
                                    .infer_grad = nullptr};

}  // namespace kinema::kernels
