// oneDNN on channels-last memory. It is fast only where the pitch equals the channel count, so a
// tensor with zero lanes is shown to it as one of C + tail channels, and slices are packed around
// it. Depthwise convolution, and shapes that it would serve by its slow `ref` code, run in our own
// loops.
#include <algorithm>
#include <cstring>
#include <dnnl.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>
#include "kernels/base/parallel.h"
#include "kernels/base/scratch.h"
#include "kernels/conv3d/conv3d_cpu_f32.h"
#include "kernels/conv3d/conv3d_loops.h"
#include "kernels/copy/copy.h"

namespace kinema::kernels {

namespace {

using dnnl::memory;
using Dims = memory::dims;

dnnl::engine& host() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}
dnnl::stream& queue() {
  static thread_local dnnl::stream stream(host());
  return stream;
}

/// Five axes without gaps, `lanes` apart in W.
View dense_layout(const Shape& shape, int64_t lanes) {
  View v{.data = nullptr, .dtype = Dtype::f32, .shape = shape};
  v.strides = {shape[1] * shape[2] * shape[3] * lanes, shape[2] * shape[3] * lanes,
               shape[3] * lanes, lanes, 1};
  v.tail = lanes - shape[4];
  return v;
}

bool same_layout(const View& a, const View& b) {
  bool same = a.tail == b.tail;
  for (int i = 0; i < 5; ++i) same &= a.shape[i] == 1 || a.stride(i) == b.stride(i);
  return same;
}

/// A tensor as oneDNN wants it: the caller's own memory where it lies so already, else packed.
struct Packed {
  View view;
  Scratch own;

  Packed(const View& v, int64_t lanes, bool load) : view(dense_layout(v.shape, lanes)) {
    if (same_layout(v, view)) {
      view.data = v.data;
      return;
    }
    own = scratch(view.shape[0] * view.stride(0));
    view.data = own.get();
    if (load) copy_cpu.forward({}, v, view, false);
  }
  /// Hands a packed result over.
  void store(const View& to, bool accumulate) const {
    if (view.data != to.data) copy_cpu.forward({}, view, to, accumulate);
  }
};

/// Channels that oneDNN is shown: with the zero lanes, unless groups would be shifted by them.
int64_t lanes_of(const View& v, int64_t groups) {
  return groups == 1 ? v.shape[4] + v.tail : v.shape[4];
}

/// One convolution as oneDNN sees it.
struct Problem {
  int64_t n, c, k, groups;
  std::array<int64_t, 3> in, out, taps;
  Conv3dOptions opt;
  bool bias = false, relu = false;

  Problem(const Conv3dOptions& o, const View& x, const View& w, const View& y)
      : n(x.shape[0]),
        c(lanes_of(x, o.groups)),
        k(lanes_of(y, o.groups)),
        groups(o.groups),
        in{x.shape[1], x.shape[2], x.shape[3]},
        out{y.shape[1], y.shape[2], y.shape[3]},
        taps{w.shape[1], w.shape[2], w.shape[3]},
        opt(o) {}

  bool empty() const {
    int64_t all = n * c * k;
    for (size_t i = 0; i < 3; ++i) all *= in[i] * out[i];
    return all == 0;
  }
  /// oneDNN 2.6 is slower than our own loops there: bench/results/depthwise_cpu.txt.
  bool depthwise() const { return groups > 1 && c == groups; }
  std::vector<int64_t> key(int pass) const {
    std::vector<int64_t> all{pass, n, c, k, groups, bias, relu};
    for (const auto* a :
         {&in, &out, &taps, &opt.stride, &opt.dilation, &opt.pad_front, &opt.pad_back})
      all.insert(all.end(), a->begin(), a->end());
    return all;
  }

  memory::desc activations(int64_t channels, const std::array<int64_t, 3>& size) const {
    return {{n, channels, size[0], size[1], size[2]},
            memory::data_type::f32,
            memory::format_tag::ndhwc};
  }
  Dims weight_dims() const {
    if (groups == 1) return {k, c, taps[0], taps[1], taps[2]};
    return {groups, k / groups, c / groups, taps[0], taps[1], taps[2]};
  }
  memory::desc any_weights() const {
    return {weight_dims(), memory::data_type::f32, memory::format_tag::any};
  }
  /// Our [K,kt,kh,kw,C/G] without gaps.
  memory::desc our_weights() const {
    const int64_t per_group = c / groups, pixel = taps[2] * per_group, frame = taps[1] * pixel;
    const int64_t filter = taps[0] * frame;
    if (groups == 1)
      return {weight_dims(), memory::data_type::f32, Dims{filter, 1, frame, pixel, per_group}};
    return {weight_dims(), memory::data_type::f32,
            Dims{k / groups * filter, filter, 1, frame, pixel, per_group}};
  }
  Dims strides() const { return {opt.stride[0], opt.stride[1], opt.stride[2]}; }
  Dims dilations() const { return {opt.dilation[0] - 1, opt.dilation[1] - 1, opt.dilation[2] - 1}; }
  Dims front() const { return {opt.pad_front[0], opt.pad_front[1], opt.pad_front[2]}; }
  Dims back() const { return {opt.pad_back[0], opt.pad_back[1], opt.pad_back[2]}; }
};

/// A compiled pass; no primitive where our own loops are faster.
struct Pass {
  dnnl::primitive primitive;
  memory::desc weights;
  bool usable = false;

  Pass() = default;
  template <class Primitive>
  Pass(const Primitive& p, const memory::desc& w, const char* implementation)
      : primitive(p),
        weights(w),
        usable(std::string(implementation).rfind("ref", 0) == std::string::npos) {}
};

enum PassKind { forward_pass, grad_input_pass, grad_weight_pass };

dnnl::convolution_forward::primitive_desc forward_desc(const Problem& p) {
  const auto kind = dnnl::prop_kind::forward_training;
  const auto direct = dnnl::algorithm::convolution_direct;
  const memory::desc x = p.activations(p.c, p.in), y = p.activations(p.k, p.out);
  const memory::desc bias({p.k}, memory::data_type::f32, memory::format_tag::x);
  dnnl::primitive_attr attributes;
  if (p.relu) {
    // x > 0 ? x : 0 * (e^x - 1): its eltwise_relu, a maximum with 0, would hide a NaN as 0.
    dnnl::post_ops relu;
    relu.append_eltwise(1, dnnl::algorithm::eltwise_elu, 0, 0);
    attributes.set_post_ops(relu);
  }
  using Desc = dnnl::convolution_forward::desc;
  const Desc d = p.bias ? Desc(kind, direct, x, p.any_weights(), bias, y, p.strides(),
                               p.dilations(), p.front(), p.back())
                        : Desc(kind, direct, x, p.any_weights(), y, p.strides(), p.dilations(),
                               p.front(), p.back());
  return {d, attributes, host()};
}

Pass compile(const Problem& p, PassKind kind) {
  const auto direct = dnnl::algorithm::convolution_direct;
  const memory::desc x = p.activations(p.c, p.in), y = p.activations(p.k, p.out);
  const dnnl::convolution_forward::primitive_desc forward = forward_desc(p);
  if (kind == forward_pass)
    return {dnnl::convolution_forward(forward), forward.weights_desc(), forward.impl_info_str()};
  if (kind == grad_input_pass) {
    using Backward = dnnl::convolution_backward_data;
    const Backward::primitive_desc pd(
        {direct, x, p.any_weights(), y, p.strides(), p.dilations(), p.front(), p.back()}, host(),
        forward);
    return {Backward(pd), pd.weights_desc(), pd.impl_info_str()};
  }
  using Backward = dnnl::convolution_backward_weights;
  const Backward::primitive_desc pd(
      {direct, x, p.any_weights(), y, p.strides(), p.dilations(), p.front(), p.back()}, host(),
      forward);
  return {Backward(pd), pd.diff_weights_desc(), pd.impl_info_str()};
}

/// Making a primitive costs up to a millisecond; a training step asks for the same ones again.
const Pass& pass_for(const Problem& p, PassKind kind) {
  static thread_local std::map<std::vector<int64_t>, Pass> cache;
  const std::vector<int64_t> key = p.key(kind);
  auto found = cache.find(key);
  if (found != cache.end()) return found->second;
  if (cache.size() >= 1024) cache.clear();
  Pass pass;
  try {
    if (!p.empty() && !p.depthwise()) pass = compile(p, kind);
  } catch (const dnnl::error& e) {
    check(e.status == dnnl_unimplemented || e.status == dnnl_invalid_arguments,
          "conv3d: oneDNN failed: ", e.what());
  }
  return cache.emplace(key, std::move(pass)).first->second;
}

/// w in the format that the pass wants. Output channels that exist only as zero lanes get zeros.
struct Weights {
  Scratch plain, reordered;
  memory ready;

  Weights(const Problem& p, const View& w, const memory::desc& wanted) {
    View dense = dense_layout({p.k, p.taps[0], p.taps[1], p.taps[2], w.shape[4]}, p.c / p.groups);
    View filters = dense.slice(0, 0, w.shape[0]);
    if (w.shape[0] == p.k && same_layout(w, filters)) {
      dense.data = w.data;
    } else {
      plain = scratch(p.k * dense.stride(0));
      dense.data = filters.data = plain.get();
      copy_cpu.forward({}, w, filters, false);
      const View rest = dense.slice(0, w.shape[0], p.k - w.shape[0]);
      if (rest.size()) copy_cpu.fill({}, rest, 0);
    }
    memory ours(p.our_weights(), host(), dense.data);
    ready = ours;
    if (wanted == ours.get_desc()) return;
    reordered = scratch(int64_t(wanted.get_size()) / 4);
    ready = memory(wanted, host(), reordered.get());
    dnnl::reorder(ours, ready).execute(queue(), ours, ready);
  }
};

/// y = relu(scale * (y + bias) + shift + residual), one pass over y.
void finish(const View& y, const Conv3dEpilogue& e) {
  const RowOffsets to(y), from(e.residual ? e.residual : y);
  const float* residual = e.residual ? data<const float>(e.residual) : nullptr;
  auto vector = [](const View& v) { return v ? data<const float>(v) : nullptr; };
  const float *bias = vector(e.bias), *scale = vector(e.scale), *shift = vector(e.shift);
  const int64_t channels = y.shape[4];
  parallel_for(y.size() ? to.rows() : 0,
               std::max<int64_t>(1, 16384 / std::max<int64_t>(channels, 1)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t r = begin; r < end; ++r) {
                   float* row = data<float>(y) + to(r);
                   if (bias)
                     for (int64_t k = 0; k < channels; ++k) row[k] += bias[k];
                   if (scale)
                     for (int64_t k = 0; k < channels; ++k) row[k] *= scale[k];
                   if (shift)
                     for (int64_t k = 0; k < channels; ++k) row[k] += shift[k];
                   if (residual)
                     for (int64_t k = 0; k < channels; ++k) row[k] += residual[from(r) + k];
                   if (e.relu)
                     for (int64_t k = 0; k < channels; ++k) row[k] = row[k] < 0 ? 0 : row[k];
                 }
               });
}

void check_f32(const View& x) {
  check(x.dtype == Dtype::f32, "conv3d: expected f32, bf16 or f16, got ", x.dtype);
}

void forward(Stream, const Conv3dOptions& opt, View x, View w, View y, const Conv3dEpilogue& e) {
  check_conv3d(opt, x, w, y, e);
  check_f32(x);
  Problem p(opt, x, w, y);
  const bool fused = !e.scale && !e.shift && !e.residual;
  p.bias = fused && e.bias;
  p.relu = fused && e.relu;
  const Pass& pass = pass_for(p, forward_pass);
  if (!pass.usable) {
    conv3d_loops_forward(opt, x, w, y);
    return finish(y, e);
  }
  const Packed from(x, p.c, true), to(y, p.k, false);
  const Weights weights(p, w, pass.weights);
  std::vector<float> bias;
  std::unordered_map<int, memory> args{
      {DNNL_ARG_SRC, memory(p.activations(p.c, p.in), host(), from.view.data)},
      {DNNL_ARG_WEIGHTS, weights.ready},
      {DNNL_ARG_DST, memory(p.activations(p.k, p.out), host(), to.view.data)}};
  if (p.bias) {
    bias.assign(size_t(p.k), 0);
    std::copy_n(data<const float>(e.bias), w.shape[0], bias.begin());
    const memory::desc d({p.k}, memory::data_type::f32, memory::format_tag::x);
    args[DNNL_ARG_BIAS] = memory(d, host(), bias.data());
  }
  pass.primitive.execute(queue(), args);
  to.store(y, false);
  if (!fused) finish(y, e);
}

void grad_input(Stream, const Conv3dOptions& opt, View dy, View w, View dx,
                const Conv3dGradEpilogue& e) {
  check_conv3d_input(opt, dy, w, dx, e);
  check_f32(dy);
  const Problem p(opt, dx, w, dy);
  const Pass& pass = pass_for(p, grad_input_pass);
  // A result to be added goes into memory of its own first.
  View target = dense_layout(dx.shape, p.c);
  Scratch own;
  if (e.accumulate) {
    own = scratch(dx.shape[0] * target.stride(0));
    target.data = own.get();
  } else {
    target = dx;
  }
  if (pass.usable) {
    const Packed from(dy, p.k, true), to(target, p.c, false);
    const Weights weights(p, w, pass.weights);
    pass.primitive.execute(
        queue(), {{DNNL_ARG_DIFF_DST, memory(p.activations(p.k, p.out), host(), from.view.data)},
                  {DNNL_ARG_WEIGHTS, weights.ready},
                  {DNNL_ARG_DIFF_SRC, memory(p.activations(p.c, p.in), host(), to.view.data)}});
    to.store(target, false);
  } else {
    conv3d_loops_grad_input(opt, dy, w, target);
  }
  if (e.accumulate) copy_cpu.forward({}, target, dx, true);
}

void grad_weight(Stream, const Conv3dOptions& opt, View x, View dy, View dw, bool accumulate) {
  check_conv3d(opt, x, dw, dy);
  check_f32(dy);
  const Problem p(opt, x, dw, dy);
  const Pass& pass = pass_for(p, grad_weight_pass);
  View dense = dense_layout({p.k, p.taps[0], p.taps[1], p.taps[2], dw.shape[4]}, p.c / p.groups);
  if (pass.usable) {
    const Packed from(x, p.c, true), grad(dy, p.k, true);
    const memory result(pass.weights, host());
    pass.primitive.execute(
        queue(), {{DNNL_ARG_SRC, memory(p.activations(p.c, p.in), host(), from.view.data)},
                  {DNNL_ARG_DIFF_DST, memory(p.activations(p.k, p.out), host(), grad.view.data)},
                  {DNNL_ARG_DIFF_WEIGHTS, result}});
    const Scratch own = scratch(p.k * dense.stride(0));
    dense.data = own.get();
    memory ours(p.our_weights(), host(), dense.data), blocked = result;
    dnnl::reorder(blocked, ours).execute(queue(), blocked, ours);
    return copy_cpu.forward({}, dense.slice(0, 0, dw.shape[0]), dw, accumulate);
  }
  if (!accumulate) return conv3d_loops_grad_weight(opt, x, dy, dw);
  dense = dense_layout(dw.shape, dw.shape[4]);
  const Scratch own = scratch(dw.shape[0] * dense.stride(0));
  dense.data = own.get();
  conv3d_loops_grad_weight(opt, x, dy, dense);
  copy_cpu.forward({}, dense, dw, true);
}

void grad_bias(Stream, View dy, View db, bool accumulate) {
  check_conv3d_bias(dy, db);
  check_f32(dy);
  // Fixed parts, summed in double and joined in order: the bits do not depend on the threads.
  constexpr int64_t part_rows = 4096;
  const RowOffsets offset(dy);
  const int64_t channels = dy.shape[4], rows = dy.size() ? offset.rows() : 0;
  const int64_t parts = (rows + part_rows - 1) / part_rows;
  std::vector<double> sums(static_cast<size_t>(parts * channels));
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      double* sum = sums.data() + part * channels;
      for (int64_t r = part * part_rows; r < std::min(rows, (part + 1) * part_rows); ++r) {
        const float* row = data<const float>(dy) + offset(r);
        for (int64_t k = 0; k < channels; ++k) sum[k] += row[k];
      }
    }
  });
  for (int64_t k = 0; k < channels; ++k) {
    double sum = accumulate ? double(data<float>(db)[k]) : 0;
    for (int64_t part = 0; part < parts; ++part) sum += sums[size_t(part * channels + k)];
    data<float>(db)[k] = float(sum);
  }
}

}  // namespace

const Conv3d conv3d_cpu_f32 = {.forward = forward,
                               .grad_input = grad_input,
                               .grad_weight = grad_weight,
                               .grad_bias = grad_bias,
                               .tiles = one_tile};

}  // namespace kinema::kernels
