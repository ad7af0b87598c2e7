#include "engine/nn/precision.h"
#include "engine/ops/copy.h"

namespace kinema::engine::nn {

Dtype precision_from(const std::string& name) {
  for (Dtype d : {Dtype::f32, Dtype::bf16, Dtype::f16})
    if (name == kernels::name_of(d)) return d;
  fail("precision: expected f32, bf16 or f16, got '", name, "'");
}

void set_precision(const Module& network, Dtype precision) {
  check(precision == Dtype::f32 || kernels::is_narrow(precision),
        "precision: expected f32, bf16 or f16, got ", precision);
  for (const NamedTensor& p : network.parameters()) {
    if (!p.working) continue;
    *p.working = {};
    if (precision != Dtype::f32)
      *p.working = stand_in(cast(p.tensor->detach(), precision), *p.tensor);
  }
}

}  // namespace kinema::engine::nn
