#include "engine/optim/ema.h"
#include <algorithm>
#include "engine/ops/copy.h"
#include "engine/ops/lerp.h"

namespace kinema::engine::optim {

Ema::Ema(const nn::Module& module, const ParameterArena& arena, double decay)
    : module_(module), arena_(arena), decay_(decay), average_(empty_like(arena.values())) {
  check(decay >= 0 && decay < 1, "ema: the decay must lie in [0, 1), got ", decay);
  copy(arena_.values(), average_);
}

double Ema::share(int64_t step) const {
  const double warm = double(1 + step) / double(10 + step);
  return 1 - std::min(decay_, warm);
}

void Ema::update(const Tensor& share) const { lerp(share, arena_.values(), average_); }

std::vector<std::pair<std::string, Tensor>> Ema::state() const {
  std::vector<std::pair<std::string, Tensor>> all;
  for (size_t i = 0; i < arena_.count(); ++i)
    all.emplace_back(arena_.name(i), arena_.part(average_, i));
  return all;
}

Ema::Scope::Scope(Ema& ema) {
  const Tensor& values = ema.arena_.values();
  // Names that share a parameter all lie at its place, so that place tells where to point.
  for (const nn::NamedTensor& p : ema.module_.parameters()) {
    check(p.tensor->storage == values.storage, "ema: ", p.name, " does not lie in the arena");
    before_.push_back({p, *p.tensor, p.working ? *p.working : Tensor{}});
  }
  for (const auto& [p, own, working] : before_) {
    p.tensor->storage = ema.average_.storage;
    p.tensor->layout.data =
        data<float>(ema.average_) + (static_cast<float*>(own.layout.data) - data<float>(values));
    if (working) *p.working = stand_in(cast(p.tensor->detach(), working.dtype()), *p.tensor);
  }
}

Ema::Scope::~Scope() {
  for (const auto& [p, own, working] : before_) {
    *p.tensor = own;
    if (working) *p.working = working;
  }
}

}  // namespace kinema::engine::optim
