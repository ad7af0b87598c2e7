#include "bench/support/bench.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/batch_norm/batch_norm_cases.h"
#include "kernels/copy/copy.h"

using namespace kinema;

namespace {

void add_case(const kernels::Shape& shape) {
  const kernels::Shape channels{shape[-1]};
  const engine::Tensor x = bench::random(shape), dy = bench::random(shape),
                       y = engine::full(shape, 0), dx = engine::full(shape, 0);
  const engine::Tensor gamma = bench::random(channels), beta = bench::random(channels),
                       run_mean = engine::full(channels, 0), run_var = engine::full(channels, 1),
                       mean = engine::full(channels, 0), rstd = engine::full(channels, 1),
                       dgamma = engine::empty(channels), dbeta = engine::empty(channels);
  const kernels::BatchNormParameters p{gamma.view(), beta.view(), run_mean.view(), run_var.view()};
  const kernels::BatchNormKept kept{x.view(),    gamma.view(), beta.view(), mean.view(),
                                    rstd.view(), {},           true};
  const kernels::BatchNormTargets to{{dx.view()}, {dgamma.view()}, {dbeta.view()}, {}};
  const kernels::BatchNormSaved saved{mean.view(), rstd.view()};
  const double bytes = 4.0 * double(shape.size());
  // Owners keep alive what the views show.
  for (auto b : {kernels::Backend::cpu, kernels::Backend::reference}) {
    const auto& op = kernels::batch_norm(b);
    // The floor reads x twice, as the statistics come before the first output, and back likewise.
    bench::add(bench::name("batch_norm.train_forward", b, shape), 3 * bytes, 0,
               [=, &op, owners = std::vector{gamma, beta, run_mean, run_var, mean, rstd}] {
                 op.train_forward({}, {}, x.view(), p, {.relu = true}, y.view(), saved);
               });
    bench::add(bench::name("batch_norm.infer_forward", b, shape), 2 * bytes, 0,
               [=, &op, owners = std::vector{gamma, beta, run_mean, run_var, mean, rstd}] {
                 op.infer_forward({}, {}, x.view(), p, {.relu = true}, y.view(), saved);
               });
    bench::add(bench::name("batch_norm.train_grad", b, shape), 5 * bytes, 0,
               [=, &op, owners = std::vector{x, dy, dx, gamma, beta, mean, rstd, dgamma, dbeta}] {
                 op.train_grad({}, kept, dy.view(), to);
               });
    bench::add(bench::name("batch_norm.copy_for_scale", b, shape), 2 * bytes, 0,
               [=] { kernels::copy(b).forward({}, x.view(), y.view(), false); });
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (const auto& c : kernels::batch_norm_cases)
    if (std::string(c.tag) == "full") add_case(c.x);
  return bench::run(argc, argv);
}
