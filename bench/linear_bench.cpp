#include "bench/support/bench.h"
#include "kernels/linear/linear.h"
#include "kernels/linear/linear_cases.h"

using namespace kinema;

int main(int argc, char** argv) {
  for (const auto& c : kernels::linear_cases) {
    if (std::string(c.tag) != "full") continue;
    const kernels::Shape detail{c.rows, c.in, c.out};
    const engine::Tensor x = bench::random({c.rows, c.in}), w = bench::random({c.out, c.in}),
                         y = bench::random({c.rows, c.out}), b = bench::random({c.out});
    const double flop = 2.0 * double(c.rows * c.in * c.out);
    const double bytes = 4.0 * double(c.rows * c.in + c.in * c.out + c.rows * c.out);
    for (auto backend : {kernels::Backend::cpu, kernels::Backend::reference}) {
      const auto& op = kernels::linear(backend);
      bench::add(bench::name("linear.forward", backend, detail), bytes, flop, [=] {
        op.forward({}, {}, x.view(), w.view(), y.view(), {b.view(), true});
      });
      bench::add(bench::name("linear.grad_input", backend, detail), bytes, flop,
                 [=] { op.grad_input({}, {}, y.view(), w.view(), x.view(), false); });
      bench::add(bench::name("linear.grad_weight", backend, detail), bytes, flop,
                 [=] { op.grad_weight({}, {}, x.view(), y.view(), w.view(), false); });
    }
  }
  return bench::run(argc, argv);
}
