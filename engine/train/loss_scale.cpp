#include "engine/train/loss_scale.h"

namespace kinema::engine::train {

void LossScale::put_into(kernels::StepNumbers& numbers) const {
  numbers.loss_scale = factor_;
  numbers.good_steps = double(good_);
  numbers.skipped_steps = double(skipped_);
}

void LossScale::take_from(const kernels::StepNumbers& numbers) {
  factor_ = numbers.loss_scale;
  good_ = int64_t(numbers.good_steps);
  skipped_ = int64_t(numbers.skipped_steps);
}

nlohmann::json LossScale::values() const {
  return {{"factor", factor_}, {"good_steps", good_}, {"skipped_steps", skipped_}};
}

void LossScale::restore(const nlohmann::json& values) {
  values.at("factor").get_to(factor_);
  values.at("good_steps").get_to(good_);
  values.at("skipped_steps").get_to(skipped_);
}

}  // namespace kinema::engine::train
