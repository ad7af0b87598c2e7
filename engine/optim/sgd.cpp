#include "engine/optim/sgd.h"

namespace kinema::engine::optim {

Sgd::Sgd(ParameterArena& arena, const SgdOptions& options, bool decay_vectors)
    : arena_(arena),
      options_(options),
      stretches_(stretches(arena, decay_vectors)),
      steps_(full({1}, 0, Dtype::i64, Device::cpu)) {
  check_sgd(options_);
  if (options_.momentum == 0) return;
  const Tensor& values = arena_.values();
  velocity_ = full(values.shape(), 0, values.dtype(), values.device());
}

void Sgd::step(double rate) {
  int64_t& steps = *data<int64_t>(steps_);
  const Tensor& gradients = arena_.gradients();
  for (const Stretch& s : stretches_) {
    SgdOptions now = options_;
    now.rate = rate;
    if (!s.decays) now.weight_decay = 0;
    sgd_step(now, s.of(arena_.values()), s.of(gradients), s.of(velocity_), steps == 0,
             s.of(arena_.working()));
  }
  ++steps;
}

std::vector<std::pair<std::string, Tensor>> Sgd::state() const {
  std::vector<std::pair<std::string, Tensor>> all{{"steps", steps_}};
  for (size_t i = 0; velocity_ && i < arena_.count(); ++i)
    all.emplace_back("momentum." + arena_.name(i), arena_.part(velocity_, i));
  return all;
}

}  // namespace kinema::engine::optim
