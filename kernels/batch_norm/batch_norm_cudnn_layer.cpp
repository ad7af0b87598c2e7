#include "kernels/batch_norm/batch_norm_cudnn_layer.h"
#include "kernels/cudnn/lanes.h"

namespace kinema::kernels::cudnn {

namespace {

/// A tensor without gaps as one of five axes: rows of any other rank lie in the last but one.
View five_axes(View v) {
  const int rank = v.shape.rank;
  if (rank == 5) return v;
  const int64_t channels = v.shape[-1];
  int64_t rows = 1;
  for (int a = 1; a < rank - 1; ++a) rows *= v.shape[a];
  v.shape = {v.shape[0], 1, 1, rows, channels};
  v.strides = {rows * channels, rows * channels, rows * channels, channels, 1};
  return v;
}

}  // namespace

NormLayer norm_layer(NormPass pass, std::span<const View> tensors) {
  const View x = widened(tensors.front());
  NormLayer l{.pass = pass, .x = layout_of(five_axes(x)), .dtype = x.dtype};
  for (const View& v : tensors) {
    if (!v) continue;
    const View wide = widened(v);
    if (!is_dense(wide) || wide.shape != x.shape) {
      std::ostringstream text;
      text << "batch_norm: cudnn takes tensors without gaps whose rows have equal lanes, got "
           << v.dtype << ' ' << v.shape << " with " << v.tail << " lanes and rows " << v.stride(-2)
           << " apart; use --backend batch_norm=cuda";
      throw Unsupported(text.str());
    }
    l.x.alignment = std::min(l.x.alignment, layout_of(five_axes(wide)).alignment);
  }
  return l;
}

namespace {

/// Makes a layer's tensors and operations.
class Graph {
 public:
  explicit Graph(const NormLayer& l) : layer_(l), type_(cudnn_type("batch_norm", l.dtype)) {}

  std::vector<Descriptor> operations() && {
    if (layer_.pass == NormPass::train_forward) train_forward();
    if (layer_.pass == NormPass::infer_forward) infer_forward();
    if (layer_.pass == NormPass::train_grad) train_grad();
    return std::move(operations_);
  }

 private:
  void train_forward() {
    Descriptor y = result(!layer_.residual && !layer_.relu);
    Descriptor d = norm(CUDNN_NORM_FWD_TRAINING, y);
    d.set(CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, scalar(id_norm_eps));
    d.set(CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC, scalar(id_norm_momentum));
    d.set(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC, channels(id_norm_running_mean));
    d.set(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC, channels(id_norm_running_var));
    d.set(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC, channels(id_norm_new_mean));
    d.set(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC, channels(id_norm_new_var));
    operations_.push_back(std::move(d.finalize()));
    finish(std::move(y));
  }

  /// cuDNN's own operation serves inference in no engine of its own, element-wise ones do.
  void infer_forward() {
    Descriptor centred = result(false), xhat = result(false), scaled = result(false),
               y = result(!layer_.residual && !layer_.relu);
    pointwise(CUDNN_POINTWISE_SUB, rows(id_norm_x), channels(id_norm_mean), centred);
    pointwise(CUDNN_POINTWISE_MUL, centred, channels(id_norm_rstd), xhat);
    pointwise(CUDNN_POINTWISE_MUL, xhat, channels(id_norm_gamma), scaled);
    pointwise(CUDNN_POINTWISE_ADD, scaled, channels(id_norm_beta), y);
    finish(std::move(y));
  }

  /// Residual and ReLU.
  void finish(Descriptor y) {
    if (layer_.residual) {
      Descriptor sum = result(!layer_.relu);
      pointwise(CUDNN_POINTWISE_ADD, y, rows(id_norm_residual), sum);
      y = std::move(sum);
    }
    if (!layer_.relu) return;
    const Descriptor last = result(true);
    Descriptor what = mode(CUDNN_POINTWISE_RELU_FWD);
    what.set(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_PROPAGATE_NAN).finalize();
    Descriptor d(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, y);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, last);
    operations_.push_back(std::move(d.finalize()));
  }

  void train_grad() {
    Descriptor dy = rows(id_norm_dy);
    if (layer_.relu) {
      const Descriptor y = result(false);
      operations_.push_back(std::move(norm(CUDNN_NORM_FWD_INFERENCE, y).finalize()));
      // cuDNN takes no other type than dy's there.
      Descriptor passed = tensor(next_++, layer_.x, type_, true);
      Descriptor d(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
      d.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
            mode(CUDNN_POINTWISE_RELU_BWD).finalize());
      d.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, y);
      d.set(CUDNN_ATTR_OPERATION_POINTWISE_DYDESC, dy);
      d.set(CUDNN_ATTR_OPERATION_POINTWISE_DXDESC, passed);
      operations_.push_back(std::move(d.finalize()));
      dy = std::move(passed);
    }
    Descriptor d(CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR);
    d.set(CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_BATCH_NORM);
    d.set(CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, rows(id_norm_x));
    d.set(CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, dy);
    d.set(CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC, channels(id_norm_mean));
    d.set(CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC, channels(id_norm_rstd));
    d.set(CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, channels(id_norm_gamma));
    d.set(CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, channels(id_norm_dgamma));
    d.set(CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC, channels(id_norm_dbeta));
    d.set(CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, rows(id_norm_dx));
    operations_.push_back(std::move(d.finalize()));
  }

  /// What both phases of forward have; not final.
  Descriptor norm(cudnnBackendNormFwdPhase_t phase, const Descriptor& y) const {
    Descriptor d(CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR);
    d.set(CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_BATCH_NORM);
    d.set(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, phase);
    d.set(CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, rows(id_norm_x));
    d.set(CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, channels(id_norm_mean));
    d.set(CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, channels(id_norm_rstd));
    d.set(CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, channels(id_norm_gamma));
    d.set(CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, channels(id_norm_beta));
    d.set(CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, y);
    return d;
  }

  /// In f32; not final.
  static Descriptor mode(cudnnPointwiseMode_t mode) {
    Descriptor what(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    what.set(CUDNN_ATTR_POINTWISE_MODE, mode);
    what.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
    return what;
  }
  void pointwise(cudnnPointwiseMode_t how, const Descriptor& a, const Descriptor& b,
                 const Descriptor& to) {
    Descriptor d(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, mode(how).finalize());
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, a);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to);
    operations_.push_back(std::move(d.finalize()));
  }

  Descriptor rows(int64_t id) const { return tensor(id, layer_.x, type_); }
  Descriptor channels(int64_t id) const {
    return tensor(id, layout_by_channel(layer_.x.size[1]), CUDNN_DATA_FLOAT);
  }
  /// y, or what is on its way there in f32.
  Descriptor result(bool last) {
    return last ? rows(id_norm_y) : tensor(next_++, layer_.x, CUDNN_DATA_FLOAT, true);
  }
  static Descriptor scalar(int64_t id) {
    constexpr std::array<int64_t, 5> one{1, 1, 1, 1, 1};
    Descriptor d(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
    d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_DATA_FLOAT);
    d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, int64_t(4));
    d.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const int64_t>(one));
    d.set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const int64_t>(one));
    d.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
    d.finalize();
    return d;
  }

  const NormLayer& layer_;
  cudnnDataType_t type_;
  int64_t next_ = id_norm_virtual;
  std::vector<Descriptor> operations_;
};

}  // namespace

Descriptor graph_of(const NormLayer& l, const Target& target) {
  return graph_of(Graph(l).operations(), target);
}

std::vector<Plan> plans_of(const NormLayer& l, const Target& target, int64_t most) {
  // Not `exact`: element-wise engines note tensor cores that such graphs give nothing to do.
  return plans_of(graph_of(l, target), target, {.most = most});
}

}  // namespace kinema::kernels::cudnn
