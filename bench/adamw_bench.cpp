#include "bench/support/bench.h"
#include "kernels/adamw/adamw.h"
#include "kernels/adamw/adamw_cases.h"

using namespace kinema;

int main(int argc, char** argv) {
  for (const auto& c : kernels::adamw_cases) {
    if (std::string(c.tag) != "full") continue;
    const engine::Tensor w = bench::random(c.w), g = bench::random(c.w), m = bench::random(c.w);
    const engine::Tensor v = engine::full(c.w, 1);
    for (auto b : {kernels::Backend::cpu, kernels::Backend::reference})
      bench::add(bench::name("adamw.step", b, c.w), 28.0 * double(c.w.size()), 0,
                 [=, &op = kernels::adamw(b)] {
                   op.step({}, {.rate = 1e-9}, 10, w.view(), g.view(), m.view(), v.view(), {});
                 });
  }
  return bench::run(argc, argv);
}
