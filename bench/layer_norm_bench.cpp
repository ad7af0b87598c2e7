#include "bench/support/bench.h"
#include "kernels/copy/copy.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/layer_norm/layer_norm_cases.h"

using namespace kinema;

namespace {

void add_case(const kernels::Shape& shape) {
  const kernels::Shape channels{shape[-1]};
  const engine::Tensor x = bench::random(shape), dy = bench::random(shape),
                       y = engine::full(shape, 0), dx = engine::full(shape, 0),
                       gamma = bench::random(channels), beta = bench::random(channels),
                       dgamma = engine::empty(channels), dbeta = engine::empty(channels),
                       mean = engine::full({kernels::layer_norm_rows(x.view())}, 0),
                       rstd = engine::full(mean.shape(), 1);
  const double bytes = 4.0 * double(shape.size());
  for (auto b : {kernels::Backend::cpu, kernels::Backend::reference}) {
    const auto& op = kernels::layer_norm(b);
    bench::add(bench::name("layer_norm.forward", b, shape), 2 * bytes, 0, [=, &op] {
      op.forward({}, {}, x.view(), {gamma.view(), beta.view()}, y.view(),
                 {mean.view(), rstd.view()});
    });
    bench::add(bench::name("layer_norm.grad", b, shape), 3 * bytes, 0, [=, &op] {
      op.grad({}, {x.view(), gamma.view(), mean.view(), rstd.view()}, dy.view(),
              {{dx.view()}, {dgamma.view()}, {dbeta.view()}});
    });
    bench::add(bench::name("layer_norm.copy_for_scale", b, shape), 2 * bytes, 0,
               [=] { kernels::copy(b).forward({}, x.view(), y.view(), false); });
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (const auto& c : kernels::layer_norm_cases)
    if (std::string(c.tag) == "full") add_case(c.x);
  return bench::run(argc, argv);
}
