#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>
#include "engine/io/safetensors.h"

namespace kinema::engine::train {

/// A part of a run beside network and optimiser (an average of the weights, a rule that stops
/// early) whose state goes into each checkpoint. A trainer restores it before the first step.
class Stateful {
 public:
  virtual ~Stateful() = default;
  /// Under which its state stands in a checkpoint: "ema".
  virtual std::string name() const = 0;
  /// Its tensors by name. They share the part's memory: restoring copies into them.
  virtual std::vector<io::NamedValue> tensors() const { return {}; }
  /// All else. Numbers come back exactly, save that JSON knows neither NaN nor infinity.
  virtual nlohmann::json values() const { return nullptr; }
  virtual void restore(const nlohmann::json& values) { (void)values; }
};

}  // namespace kinema::engine::train
