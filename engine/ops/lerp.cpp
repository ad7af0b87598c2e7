#include "engine/ops/lerp.h"
#include "engine/served.h"
#include "kernels/lerp/lerp.h"

namespace kinema::engine {

void lerp(const Tensor& t, const Tensor& x, const Tensor& y) {
  kernels::check_lerp(t.view(), x.view(), y.view());
  Served<kernels::Lerp>("lerp", kernels::lerp, y.device())
      .run(&kernels::Lerp::towards, y.stream(), t.view(), x.view(), y.view());
}

}  // namespace kinema::engine
