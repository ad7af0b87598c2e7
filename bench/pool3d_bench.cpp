#include "bench/support/bench.h"
#include "kernels/pool3d/pool3d.h"
#include "kernels/pool3d/pool3d_cases.h"

using namespace kinema;

namespace {

void add_case(const kernels::Pool3dCase& c) {
  const kernels::Shape out = kernels::pool3d_output(c.options, c.x);
  const engine::Tensor x = bench::random(c.x), y = engine::full(out, 0), dx = engine::full(c.x, 0),
                       taps = engine::full(out, 0, kernels::pool3d_taps(c.options));
  const auto& k = c.options.kernel;
  const double values = 4.0 * double(c.x.size() + out.size());
  const double indices = double(taps.size() * kernels::size_of(taps.dtype()));
  for (auto b : {kernels::Backend::cpu, kernels::Backend::reference}) {
    const auto& op = kernels::pool3d(b);
    auto name = [&](const char* pass) {
      return bench::name(pass, b, c.x, '/', k[0], 'x', k[1], 'x', k[2]);
    };
    bench::add(name("pool3d.max_forward"), values + indices, 0,
               [=, &op] { op.max_forward({}, c.options, x.view(), y.view(), taps.view()); });
    bench::add(name("pool3d.max_grad"), values + indices, 0,
               [=, &op] { op.max_grad({}, c.options, y.view(), taps.view(), dx.view(), false); });
    bench::add(name("pool3d.average_forward"), values, 0,
               [=, &op] { op.average_forward({}, c.options, x.view(), y.view()); });
    bench::add(name("pool3d.average_grad"), values, 0,
               [=, &op] { op.average_grad({}, c.options, y.view(), dx.view(), false); });
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (const auto& c : kernels::pool3d_cases)
    if (std::string(c.tag) == "full") add_case(c);
  return bench::run(argc, argv);
}
