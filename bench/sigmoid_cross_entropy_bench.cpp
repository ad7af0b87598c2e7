#include "bench/support/bench.h"
#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy.h"
#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy_cases.h"

using namespace kinema;

int main(int argc, char** argv) {
  for (const auto& c : kernels::sigmoid_cross_entropy_cases) {
    if (std::string(c.tag) != "full") continue;
    const engine::Tensor x = bench::random(c.x), t = bench::random(c.x), dx = bench::random(c.x),
                         loss = engine::full({1}, 1), dloss = engine::full({1}, 1);
    const double bytes = 4.0 * double(c.x.size());
    for (auto b : {kernels::Backend::cpu, kernels::Backend::reference}) {
      const auto& op = kernels::sigmoid_cross_entropy(b);
      bench::add(bench::name("sigmoid_cross_entropy.forward", b, c.x), 2 * bytes, 0,
                 [=] { op.forward({}, {}, x.view(), t.view(), loss.view()); });
      bench::add(bench::name("sigmoid_cross_entropy.grad", b, c.x), 3 * bytes, 0,
                 [=] { op.grad({}, {}, x.view(), t.view(), loss.view(), dx.view(), false); });
      bench::add(bench::name("sigmoid_cross_entropy.forward_grad", b, c.x), 3 * bytes, 0, [=] {
        op.forward_grad({}, {}, x.view(), t.view(), dloss.view(), loss.view(), dx.view(), false);
      });
    }
  }
  return bench::run(argc, argv);
}
