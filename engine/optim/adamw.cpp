#include "engine/optim/adamw.h"

namespace kinema::engine::optim {

AdamW::AdamW(ParameterArena& arena, const AdamWOptions& options, bool decay_vectors)
    : Optimiser(arena.values().device()),
      arena_(arena),
      options_(options),
      stretches_(stretches(arena, decay_vectors)) {
  check_adamw(options_);
  const Tensor& values = arena_.values();
  first_ = full(values.shape(), 0, values.dtype(), values.device());
  second_ = full(values.shape(), 0, values.dtype(), values.device());
}

void AdamW::apply() {
  const Tensor& gradients = arena_.gradients();
  for (const Stretch& s : stretches_) {
    AdamWOptions now = options_;
    if (!s.decays) now.weight_decay = 0;
    adamw_step(now, update(), s.of(arena_.values()), s.of(gradients), s.of(first_), s.of(second_),
               s.of(arena_.working()));
  }
}

std::vector<std::pair<std::string, Tensor>> AdamW::state() const {
  std::vector<std::pair<std::string, Tensor>> all{{"steps", steps()}};
  for (size_t i = 0; i < arena_.count(); ++i) {
    all.emplace_back("first_moment." + arena_.name(i), arena_.part(first_, i));
    all.emplace_back("second_moment." + arena_.name(i), arena_.part(second_, i));
  }
  return all;
}

}  // namespace kinema::engine::optim
