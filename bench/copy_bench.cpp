#include "bench/support/bench.h"
#include "kernels/copy/copy.h"
#include "kernels/copy/copy_cases.h"

using namespace kinema;

int main(int argc, char** argv) {
  for (const auto& c : kernels::copy_cases) {
    if (std::string(c.tag) != "full") continue;
    for (auto b : {kernels::Backend::cpu, kernels::Backend::reference}) {
      const engine::Tensor x = bench::random(c.x), y = engine::empty(c.x);
      bench::add(bench::name("copy.forward", b, c.x), 8.0 * double(c.x.size()), 0,
                 [=] { kernels::copy(b).forward({}, x.view(), y.view(), false); });
    }
  }
  return bench::run(argc, argv);
}
