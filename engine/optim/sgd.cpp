#include "engine/optim/sgd.h"

namespace kinema::engine::optim {

Sgd::Sgd(ParameterArena& arena, const SgdOptions& options)
    : arena_(arena), options_(options), steps_(full({1}, 0, Dtype::i64, Device::cpu)) {
  check_sgd(options_);
  if (options_.momentum == 0) return;
  const Tensor& values = arena_.values();
  velocity_ = full(values.shape(), 0, values.dtype(), values.device());
}

void Sgd::step(double rate) {
  SgdOptions now = options_;
  now.rate = rate;
  int64_t& steps = *data<int64_t>(steps_);
  sgd_step(now, arena_.values(), arena_.gradients(), velocity_, steps == 0);
  ++steps;
}

std::vector<std::pair<std::string, Tensor>> Sgd::state() const {
  std::vector<std::pair<std::string, Tensor>> all{{"steps", steps_}};
  for (size_t i = 0; velocity_ && i < arena_.count(); ++i)
    all.emplace_back("momentum." + arena_.name(i), arena_.part(velocity_, i));
  return all;
}

}  // namespace kinema::engine::optim
