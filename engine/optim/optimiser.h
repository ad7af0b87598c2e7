#pragma once
#include <string>
#include <utility>
#include <vector>
#include "engine/ops/step_control.h"
#include "engine/tensor.h"

namespace kinema::engine::optim {

/// Moves all parameters of one arena against their gradients. How far, and whether at all, lies in
/// memory of their device: whoever trains sets it there, so that nobody waits for the device.
class Optimiser {
 public:
  virtual ~Optimiser() = default;

  /// One update with learning rate `rate`.
  void step(double rate) {
    next_update(rate, steps_, update_);
    apply();
  }
  /// One update, as update() says.
  virtual void apply() = 0;
  /// f64 [4], kernels::Update: what the next update reads.
  const Tensor& update() const { return update_; }
  /// i64 [1]: updates that were applied so far. Whoever sets update() counts them.
  const Tensor& steps() const { return steps_; }

  /// What a checkpoint needs beside the weights, by name; "steps" among it. The tensors share the
  /// optimiser's memory, so that copying into them takes a run up again.
  virtual std::vector<std::pair<std::string, Tensor>> state() const = 0;

 protected:
  explicit Optimiser(Device device)
      : update_(full({Update::size}, 0, Dtype::f64, device)),
        steps_(full({1}, 0, Dtype::i64, device)) {}

 private:
  Tensor update_, steps_;
};

}  // namespace kinema::engine::optim
