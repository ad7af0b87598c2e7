#include "engine/ops/lerp.h"
#include "engine/policy.h"
#include "kernels/lerp/lerp.h"

namespace kinema::engine {

void lerp(const Tensor& t, const Tensor& x, const Tensor& y) {
  kernels::check_lerp(t.view(), x.view(), y.view());
  kernels::lerp(backend_for("lerp", y.device())).towards(y.stream(), t.view(), x.view(), y.view());
}

}  // namespace kinema::engine
