// Our loops and oneDNN's lrn (across channels, ndhwc) in one run. The floor counts x and y once;
// backward reads x and dy and writes dx.
#include <dnnl.hpp>
#include "bench/support/bench.h"
#include "kernels/local_response_norm/local_response_norm.h"
#include "kernels/local_response_norm/local_response_norm_cases.h"

using namespace kinema;

namespace {

/// oneDNN's forward and backward on the same memory. Its alpha is n times ours.
struct OneDnn {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  dnnl::primitive forward, backward;
  dnnl::memory x, dy, y, dx, workspace;
  std::string implementation;

  OneDnn(const kernels::LocalResponseNormCase& c, const engine::Tensor& from,
         const engine::Tensor& g, const engine::Tensor& to) {
    const auto& o = c.options;
    const kernels::Shape& s = c.x;
    const dnnl::memory::desc d({s[0] * s[1], s[4], s[2], s[3]}, dnnl::memory::data_type::f32,
                               dnnl::memory::format_tag::nhwc);
    const auto across = dnnl::algorithm::lrn_across_channels;
    const float alpha = float(o.alpha * double(o.n));
    const dnnl::lrn_forward::primitive_desc fd(
        {dnnl::prop_kind::forward_training, across, d, o.n, alpha, float(o.beta), float(o.k)},
        engine);
    const dnnl::lrn_backward::primitive_desc bd(
        {across, d, d, o.n, alpha, float(o.beta), float(o.k)}, engine, fd);
    forward = dnnl::lrn_forward(fd);
    backward = dnnl::lrn_backward(bd);
    implementation = fd.impl_info_str();
    x = {d, engine, engine::data<float>(from)};
    dy = {d, engine, engine::data<float>(g)};
    y = dx = {d, engine, engine::data<float>(to)};
    workspace = {fd.workspace_desc(), engine};
  }
  void run_forward() {
    forward.execute(stream,
                    {{DNNL_ARG_SRC, x}, {DNNL_ARG_DST, y}, {DNNL_ARG_WORKSPACE, workspace}});
    stream.wait();
  }
  void run_backward() {
    backward.execute(stream, {{DNNL_ARG_SRC, x},
                              {DNNL_ARG_DIFF_DST, dy},
                              {DNNL_ARG_DIFF_SRC, dx},
                              {DNNL_ARG_WORKSPACE, workspace}});
    stream.wait();
  }
};

}  // namespace

int main(int argc, char** argv) {
  for (const auto& c : kernels::local_response_norm_cases) {
    if (std::string(c.tag) != "full") continue;
    const engine::Tensor x = bench::random(c.x), dy = bench::random(c.x), y = engine::empty(c.x);
    const double pass = 4.0 * double(c.x.size());
    for (auto b : {kernels::Backend::cpu, kernels::Backend::reference}) {
      const auto& op = kernels::local_response_norm(b);
      bench::add(bench::name("local_response_norm.forward", b, c.what), 2 * pass, 0,
                 [=, &op] { op.forward({}, c.options, x.view(), y.view()); });
      bench::add(bench::name("local_response_norm.grad", b, c.what), 3 * pass, 0,
                 [=, &op] { op.grad({}, c.options, x.view(), dy.view(), y.view(), false); });
    }
    const auto other = std::make_shared<OneDnn>(c, x, dy, y);
    const std::string tail = "/oneDNN " + other->implementation + "/" + c.what;
    bench::add("local_response_norm.forward" + tail, 2 * pass, 0, [=] { other->run_forward(); });
    bench::add("local_response_norm.grad" + tail, 3 * pass, 0, [=] { other->run_backward(); });
  }
  return bench::run(argc, argv);
}
