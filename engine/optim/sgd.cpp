#include "engine/optim/sgd.h"

namespace kinema::engine::optim {

Sgd::Sgd(ParameterArena& arena, const SgdOptions& options, bool decay_vectors)
    : Optimiser(arena.values().device()),
      arena_(arena),
      options_(options),
      stretches_(stretches(arena, decay_vectors)) {
  check_sgd(options_);
  if (options_.momentum == 0) return;
  const Tensor& values = arena_.values();
  velocity_ = full(values.shape(), 0, values.dtype(), values.device());
}

void Sgd::apply() {
  const Tensor& gradients = arena_.gradients();
  for (const Stretch& s : stretches_) {
    SgdOptions now = options_;
    if (!s.decays) now.weight_decay = 0;
    sgd_step(now, update(), s.of(arena_.values()), s.of(gradients), s.of(velocity_),
             s.of(arena_.working()));
  }
}

std::vector<std::pair<std::string, Tensor>> Sgd::state() const {
  std::vector<std::pair<std::string, Tensor>> all{{"steps", steps()}};
  for (size_t i = 0; velocity_ && i < arena_.count(); ++i)
    all.emplace_back("momentum." + arena_.name(i), arena_.part(velocity_, i));
  return all;
}

}  // namespace kinema::engine::optim
