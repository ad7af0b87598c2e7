#pragma once
#include <string>
#include <utility>
#include <vector>
#include "engine/tensor.h"

namespace kinema::engine::optim {

/// Moves all parameters of one arena against their gradients.
class Optimiser {
 public:
  virtual ~Optimiser() = default;

  /// One update with learning rate `rate`.
  virtual void step(double rate) = 0;

  /// What a checkpoint needs beside the weights, by name. The tensors share the optimiser's memory,
  /// so that copying into them takes a run up again.
  virtual std::vector<std::pair<std::string, Tensor>> state() const = 0;
};

}  // namespace kinema::engine::optim
