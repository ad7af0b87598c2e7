#include "bench/support/bench.h"
#include "kernels/lerp/lerp.h"
#include "kernels/lerp/lerp_cases.h"

using namespace kinema;

int main(int argc, char** argv) {
  for (const auto& c : kernels::lerp_cases) {
    if (std::string(c.tag) != "full") continue;
    const engine::Tensor x = bench::random(c.x), y = bench::random(c.x),
                         t = engine::full({1}, 1e-4, kernels::Dtype::f64);
    for (auto b : {kernels::Backend::cpu, kernels::Backend::reference})
      bench::add(bench::name("lerp.towards", b, c.x), 12.0 * double(c.x.size()), 0,
                 [=, &op = kernels::lerp(b)] { op.towards({}, t.view(), x.view(), y.view()); });
  }
  return bench::run(argc, argv);
}
