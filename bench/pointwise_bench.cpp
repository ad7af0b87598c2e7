#include "bench/support/bench.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/pointwise/pointwise_cases.h"

using namespace kinema;

int main(int argc, char** argv) {
  using kernels::Unary;
  for (const auto& c : kernels::pointwise_cases) {
    if (std::string(c.tag) != "full") continue;
    const engine::Tensor a = bench::random(c.x), b = bench::random(c.x), y = engine::empty(c.x);
    const double pass = 4.0 * double(c.x.size());
    for (auto backend : {kernels::Backend::cpu, kernels::Backend::reference}) {
      const auto& op = kernels::pointwise(backend);
      for (Unary u : {Unary::relu, Unary::sigmoid, Unary::tanh})
        bench::add(bench::name("pointwise.forward", backend, name_of(u), c.x), 2 * pass, 0,
                   [=] { op.forward({}, u, a.view(), y.view()); });
      bench::add(bench::name("pointwise.grad", backend, "relu", c.x), 3 * pass, 0,
                 [=] { op.grad({}, Unary::relu, a.view(), b.view(), y.view(), false); });
      bench::add(bench::name("pointwise.add", backend, c.x), 3 * pass, 0,
                 [=] { op.add({}, a.view(), b.view(), y.view()); });
      bench::add(bench::name("pointwise.dropout", backend, c.x), 2 * pass, 0,
                 [=] { op.dropout({}, {}, a.view(), y.view(), false); });
    }
  }
  return bench::run(argc, argv);
}
