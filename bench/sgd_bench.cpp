#include "bench/support/bench.h"
#include "kernels/sgd/sgd.h"
#include "kernels/sgd/sgd_cases.h"

using namespace kinema;

int main(int argc, char** argv) {
  for (const auto& c : kernels::sgd_cases) {
    if (std::string(c.tag) != "full") continue;
    const engine::Tensor w = bench::random(c.w), g = bench::random(c.w), v = bench::random(c.w);
    const double pass = 4.0 * double(c.w.size());
    for (auto b : {kernels::Backend::cpu, kernels::Backend::reference}) {
      const auto& op = kernels::sgd(b);
      bench::add(bench::name("sgd.step", b, c.w), 3 * pass, 0,
                 [=] { op.step({}, {.rate = 1e-9}, w.view(), g.view(), {}, false, {}); });
      bench::add(bench::name("sgd.step", b, "momentum", c.w), 5 * pass, 0, [=] {
        op.step({}, {.rate = 1e-9, .momentum = 0.9}, w.view(), g.view(), v.view(), false, {});
      });
    }
  }
  return bench::run(argc, argv);
}
