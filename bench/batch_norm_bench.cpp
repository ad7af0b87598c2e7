#include "bench/support/bench.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/batch_norm/batch_norm_cases.h"
#include "kernels/copy/copy.h"

using namespace kinema;

namespace {

void add_case(const kernels::Shape& shape, kernels::Backend b) {
  const auto& op = kernels::batch_norm(b);
  const kernels::Shape channels{shape[-1]};
  const engine::Tensor x = bench::random(shape), dy = bench::random(shape),
                       y = engine::empty(shape), dx = engine::empty(shape);
  const engine::Tensor gamma = bench::random(channels), beta = bench::random(channels),
                       run_mean = engine::full(channels, 0), run_var = engine::full(channels, 1),
                       mean = engine::empty(channels), rstd = engine::empty(channels),
                       dgamma = engine::empty(channels), dbeta = engine::empty(channels);
  auto forward = [=, &op](bool train, bool relu) {
    const kernels::BatchNormParameters p{gamma.view(), beta.view(), run_mean.view(),
                                         run_var.view()};
    (train ? op.train_forward : op.infer_forward)({}, {}, x.view(), p, {.relu = relu}, y.view(),
                                                  {mean.view(), rstd.view()});
  };
  auto grad = [=, &op](bool relu) {
    op.train_grad({}, {x.view(), gamma.view(), beta.view(), mean.view(), rstd.view(), {}, relu},
                  dy.view(), {{dx.view()}, {dgamma.view()}, {dbeta.view()}, {}});
  };
  forward(true, true);
  const double bytes = 4.0 * double(shape.size());
  // The floor reads x twice (the statistics come before the first output), dy twice.
  bench::add(bench::name("batch_norm.train_forward", b, shape), 3 * bytes, 0,
             [=] { forward(true, true); });
  bench::add(bench::name("batch_norm.infer_forward", b, shape), 2 * bytes, 0,
             [=] { forward(false, true); });
  bench::add(bench::name("batch_norm.train_grad", b, shape), 5 * bytes, 0, [=] { grad(true); });
  bench::add(bench::name("batch_norm.copy_for_scale", b, shape), 2 * bytes, 0,
             [=] { kernels::copy(b).forward({}, x.view(), y.view(), false); });
}

}  // namespace

int main(int argc, char** argv) {
  for (const auto& c : kernels::batch_norm_cases)
    if (std::string(c.tag) == "full")
      for (auto b : {kernels::Backend::cpu, kernels::Backend::reference}) add_case(c.x, b);
  return bench::run(argc, argv);
}
