#include "bench/support/bench.h"
#include "kernels/pool3d/pool3d.h"
#include "kernels/pool3d/pool3d_cases.h"

using namespace kinema;

namespace {

void add_case(const kernels::Pool3dCase& c, kernels::Backend b) {
  const auto& op = kernels::pool3d(b);
  const kernels::Shape out = kernels::pool3d_output(c.options, c.x);
  const engine::Tensor x = bench::random(c.x), y = engine::empty(out), dx = engine::empty(c.x),
                       taps = engine::empty(out, kernels::pool3d_taps(c.options));
  const auto& k = c.options.kernel;
  auto name = [&](const char* pass) {
    return bench::name(pass, b, c.x, '/', k[0], 'x', k[1], 'x', k[2]);
  };
  const double values = 4.0 * double(c.x.size() + out.size());
  const double indices = double(taps.size() * kernels::size_of(taps.dtype()));
  op.max_forward({}, c.options, x.view(), y.view(), taps.view());
  bench::add(name("pool3d.max_forward"), values + indices, 0,
             [=, &op] { op.max_forward({}, c.options, x.view(), y.view(), taps.view()); });
  bench::add(name("pool3d.max_grad"), values + indices, 0,
             [=, &op] { op.max_grad({}, c.options, y.view(), taps.view(), dx.view(), false); });
  bench::add(name("pool3d.average_forward"), values, 0,
             [=, &op] { op.average_forward({}, c.options, x.view(), y.view()); });
  bench::add(name("pool3d.average_grad"), values, 0,
             [=, &op] { op.average_grad({}, c.options, y.view(), dx.view(), false); });
}

}  // namespace

int main(int argc, char** argv) {
  for (const auto& c : kernels::pool3d_cases)
    if (std::string(c.tag) == "full")
      for (auto b : {kernels::Backend::cpu, kernels::Backend::reference}) add_case(c, b);
  return bench::run(argc, argv);
}
