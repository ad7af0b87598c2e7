#include "engine/ops/sgd.h"
#include "engine/policy.h"
#include "kernels/sgd/sgd.h"

namespace kinema::engine {

void sgd_step(const SgdOptions& options, const Tensor& w, const Tensor& g, const Tensor& v,
              bool first_step, const Tensor& working) {
  kernels::check_sgd(options, w.view(), g.view(), v.view(), working.view());
  kernels::sgd(backend_for("sgd", w.device()))
      .step(w.stream(), options, w.view(), g.view(), v.view(), first_step, working.view());
}

void check_sgd(const SgdOptions& options) { kernels::check_sgd_options(options); }

}  // namespace kinema::engine
