#include "engine/train/loss_scale.h"
#include <algorithm>

namespace kinema::engine::train {

void LossScale::succeeded() {
  if (++good_ < patience) return;
  factor_ = std::min(2 * factor_, most);
  good_ = 0;
}

bool LossScale::overflowed() {
  if (factor_ <= least) return false;
  factor_ /= 2;
  good_ = 0;
  ++skipped_;
  return true;
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
