#include "engine/train/loss_scale.h"
#include <algorithm>

namespace kinema::engine::train {

bool LossScale::update(bool finite) {
  if (!finite) {
    factor_ = std::max(factor_ / 2, least);
    good_ = 0;
    ++skipped_;
  } else if (++good_ == patience) {
    factor_ = std::min(factor_ * 2, most);
    good_ = 0;
  }
  return finite;
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
