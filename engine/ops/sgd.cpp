#include "engine/ops/sgd.h"
#include "engine/served.h"
#include "kernels/sgd/sgd.h"

namespace kinema::engine {

void sgd_step(const SgdOptions& options, const Tensor& update, const Tensor& w, const Tensor& g,
              const Tensor& v, const Tensor& working) {
  kernels::check_sgd(options, update.view(), w.view(), g.view(), v.view(), working.view());
  Served<kernels::Sgd>("sgd", kernels::sgd, w.device())
      .run(&kernels::Sgd::step, w.stream(), options, update.view(), w.view(), g.view(), v.view(),
           working.view());
}

void check_sgd(const SgdOptions& options) { kernels::check_sgd_options(options); }

}  // namespace kinema::engine
