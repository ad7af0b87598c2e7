// Depthwise layers of X3D and CSN: our loops and oneDNN, all three passes in one run. oneDNN gets
// dense tensors of exactly C channels and its own layout for the filters; where a filter spans one
// frame also the 2D form, frames counted as clips, for which it has code of its own.
#include <dnnl.hpp>
#include "bench/support/bench.h"
#include "kernels/conv3d/conv3d_depthwise.h"

using namespace kinema;
using kernels::Conv3dOptions, kernels::Shape;

namespace {

struct Layer {
  const char* what;
  Shape x;
  std::array<int64_t, 3> taps;
  std::array<int64_t, 3> stride{1, 1, 1};

  Conv3dOptions options() const {
    const std::array<int64_t, 3> pad{taps[0] / 2, taps[1] / 2, taps[2] / 2};
    return {.stride = stride, .pad_front = pad, .pad_back = pad, .groups = x[4]};
  }
  Shape w() const { return {x[4], taps[0], taps[1], taps[2], 1}; }
};

const Layer layers[] = {
    {"X3D 54 stride 2", {2, 16, 112, 112, 54}, {3, 3, 3}, {1, 2, 2}},
    {"X3D 54", {2, 16, 56, 56, 54}, {3, 3, 3}},
    {"X3D 108", {2, 16, 28, 28, 108}, {3, 3, 3}},
    {"X3D 216 stride 2", {2, 16, 28, 28, 216}, {3, 3, 3}, {1, 2, 2}},
    {"X3D 216", {2, 16, 14, 14, 216}, {3, 3, 3}},
    {"X3D 432", {2, 16, 7, 7, 432}, {3, 3, 3}},
    {"X3D stem 5x1x1", {2, 16, 112, 112, 24}, {5, 1, 1}},
    {"CSN 64", {2, 8, 56, 56, 64}, {3, 3, 3}},
    {"CSN 128", {2, 8, 28, 28, 128}, {3, 3, 3}},
    {"CSN 256", {2, 4, 14, 14, 256}, {3, 3, 3}},
    {"CSN 512", {2, 2, 7, 7, 512}, {3, 3, 3}},
    {"1x3x3 108", {2, 16, 28, 28, 108}, {1, 3, 3}},
    {"3x1x1 108", {2, 16, 28, 28, 108}, {3, 1, 1}},
};

using dnnl::memory, dnnl::algorithm;

memory::desc plain(const memory::dims& dims, bool flat) {
  return {dims, memory::data_type::f32,
          flat ? memory::format_tag::nhwc : memory::format_tag::ndhwc};
}

/// oneDNN's three passes over memory of its own.
struct OneDnn {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  dnnl::primitive passes[3];
  std::unordered_map<int, memory> arguments[3];
  std::string names[3];

  OneDnn(const Layer& l, bool flat) {
    const Conv3dOptions o = l.options();
    const Shape out = kernels::conv3d_output(o, l.x, l.w());
    const int64_t c = l.x[4];
    memory::dims x{l.x[0], c, l.x[1], l.x[2], l.x[3]}, y{out[0], c, out[1], out[2], out[3]};
    memory::dims w{c, 1, 1, l.taps[0], l.taps[1], l.taps[2]};
    memory::dims stride(o.stride.begin(), o.stride.end());
    memory::dims pad(o.pad_front.begin(), o.pad_front.end()), none(3, 0);
    if (flat) {
      x = {x[0] * x[2], c, x[3], x[4]}, y = {y[0] * y[2], c, y[3], y[4]};
      w = {c, 1, 1, w[4], w[5]};
      for (memory::dims* d : {&stride, &pad, &none}) d->erase(d->begin());
    }
    const memory::desc from = plain(x, flat), to = plain(y, flat);
    const memory::desc any(w, memory::data_type::f32, memory::format_tag::any);
    const auto direct = algorithm::convolution_direct;
    const dnnl::convolution_forward::primitive_desc forward(
        {dnnl::prop_kind::forward_training, direct, from, any, to, stride, none, pad, pad}, engine);
    const dnnl::convolution_backward_data::primitive_desc data(
        {direct, from, any, to, stride, none, pad, pad}, engine, forward);
    const dnnl::convolution_backward_weights::primitive_desc weights(
        {direct, from, any, to, stride, none, pad, pad}, engine, forward);
    passes[0] = dnnl::convolution_forward(forward);
    passes[1] = dnnl::convolution_backward_data(data);
    passes[2] = dnnl::convolution_backward_weights(weights);
    names[0] = forward.impl_info_str();
    names[1] = data.impl_info_str();
    names[2] = weights.impl_info_str();
    const memory a = filled(from), b = filled(to);
    arguments[0] = {
        {DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, filled(forward.weights_desc())}, {DNNL_ARG_DST, b}};
    arguments[1] = {{DNNL_ARG_DIFF_DST, b},
                    {DNNL_ARG_WEIGHTS, filled(data.weights_desc())},
                    {DNNL_ARG_DIFF_SRC, a}};
    arguments[2] = {{DNNL_ARG_SRC, a},
                    {DNNL_ARG_DIFF_DST, b},
                    {DNNL_ARG_DIFF_WEIGHTS, filled(weights.diff_weights_desc())}};
  }
  memory filled(const memory::desc& d) {
    memory m(d, engine);
    std::fill_n(static_cast<float*>(m.get_data_handle()), d.get_size() / 4, 0.5f);
    return m;
  }
  void run(int pass) {
    passes[pass].execute(stream, arguments[pass]);
    stream.wait();
  }
};

const char* const pass_names[] = {"forward", "grad_input", "grad_weight"};

void add_library(const Layer& l, bool flat, double bytes, double flop) {
  const auto library = std::make_shared<OneDnn>(l, flat);
  for (int pass = 0; pass < 3; ++pass)
    bench::add(std::string(l.what) + "/" + pass_names[pass] + "/oneDNN" + (flat ? " 2D " : " ") +
                   library->names[pass],
               bytes, flop, [=] { library->run(pass); });
}

}  // namespace

int main(int argc, char** argv) {
  for (const Layer& l : layers) {
    const Conv3dOptions o = l.options();
    const Shape out = kernels::conv3d_output(o, l.x, l.w());
    const engine::Tensor x = bench::random(l.x), w = bench::random(l.w()), y = bench::random(out);
    const double bytes = 4.0 * double(l.x.size() + out.size() + l.w().size());
    const double flop = 2.0 * double(out.size() * l.taps[0] * l.taps[1] * l.taps[2]);
    const std::string name = l.what;
    bench::add(name + "/forward/own", bytes, flop,
               [=] { conv3d_depthwise_forward(o, x.view(), w.view(), y.view()); });
    bench::add(name + "/grad_input/own", bytes, flop,
               [=] { conv3d_depthwise_grad_input(o, y.view(), w.view(), x.view()); });
    bench::add(name + "/grad_weight/own", bytes, flop,
               [=] { conv3d_depthwise_grad_weight(o, x.view(), y.view(), w.view()); });
    add_library(l, false, bytes, flop);
    if (l.taps[0] == 1) add_library(l, true, bytes, flop);
  }
  return bench::run(argc, argv);
}
