#pragma once
#include "engine/train/stateful.h"
#include "kernels/step_control/step_control_options.h"

namespace kinema::engine::train {

/// The factor on the loss of a network that computes in f16, whose smallest number is 2^-24: with
/// it the gradients of the activations keep clear of 0, and those of the weights are divided by it
/// in f32. An update whose gradients overflow is skipped and halves the factor; it doubles after
/// 2000 updates without one. All its values are powers of two, so that it rounds nothing.
/// Source: Micikevicius et al., Mixed Precision Training, arXiv:1710.03740, section 3.2.
/// The device that trains moves it (kernels/step_control); here is what the host knows of it.
class LossScale : public Stateful {
 public:
  static constexpr double first = 0x1p16, least = 1, most = 0x1p32;
  static constexpr int64_t patience = 2000;  ///< updates

  double factor() const { return factor_; }
  /// Updates that were skipped so far.
  int64_t skipped() const { return skipped_; }
  /// Where it stands, for a device that is to go on from there; and as a device has left it.
  void put_into(kernels::StepNumbers& numbers) const;
  void take_from(const kernels::StepNumbers& numbers);

  std::string name() const override { return "loss_scale"; }
  nlohmann::json values() const override;
  void restore(const nlohmann::json& values) override;

 private:
  double factor_ = first;
  int64_t good_ = 0, skipped_ = 0;  ///< updates since the last change; of the whole run
};

}  // namespace kinema::engine::train
