#include "bench/support/bench.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy_cases.h"

using namespace kinema;

int main(int argc, char** argv) {
  for (const auto& c : kernels::softmax_cross_entropy_cases) {
    if (std::string(c.tag) != "full") continue;
    const engine::Tensor x = bench::random(c.x), p = bench::random(c.x), dx = engine::empty(c.x),
                         dloss = engine::full({1}, 1), loss = engine::full({1}, 1),
                         labels = engine::full({c.x[0]}, 1, kernels::Dtype::i64);
    const double bytes = 8.0 * double(c.x.size());
    for (auto b : {kernels::Backend::cpu, kernels::Backend::reference}) {
      const auto& op = kernels::softmax_cross_entropy(b);
      bench::add(bench::name("softmax_cross_entropy.forward", b, c.x), bytes, 0,
                 [=] { op.forward({}, {}, x.view(), labels.view(), loss.view(), p.view()); });
      bench::add(bench::name("softmax_cross_entropy.grad", b, c.x), bytes, 0,
                 [=] { op.grad({}, {}, p.view(), labels.view(), loss.view(), dx.view(), false); });
      bench::add(bench::name("softmax_cross_entropy.forward_grad", b, c.x), bytes, 0, [=] {
        op.forward_grad({}, {}, x.view(), labels.view(), dloss.view(), loss.view(), dx.view(),
                        false);
      });
    }
  }
  return bench::run(argc, argv);
}
