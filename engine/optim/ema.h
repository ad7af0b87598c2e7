#pragma once
#include <string>
#include <utility>
#include <vector>
#include "engine/optim/arena.h"

namespace kinema::engine::optim {

/// A running average of all parameters of a module, in memory laid out as the arena's:
///   average += (1 - d) * (values - average),  d = min(decay, (1 + step) / (10 + step))
/// after update number `step`, counted from 0; the second bound lets the average leave the first
/// weights behind within some steps. Buffers are not averaged: the module's own serve both.
/// Source: Polyak and Juditsky, SIAM J. Control Optim. 30 (1992) 838; the warm-up as in
/// TensorFlow's tf.train.ExponentialMovingAverage. Module and arena must outlive it.
class Ema {
 public:
  /// Begins at the present values. Errors: decay outside of [0, 1).
  Ema(const nn::Module& module, const ParameterArena& arena, double decay);

  /// What the average takes of the values in update number `step`: 1 - d.
  double share(int64_t step) const;
  /// Takes a share, f64 [1] on the device of the values, of them. One pass over memory: reads
  /// values and average, writes the average.
  void update(const Tensor& share) const;

  /// The average of each parameter under its name; the tensors share memory with it.
  std::vector<std::pair<std::string, Tensor>> state() const;

  /// While it lives, the module computes with the average. Nothing is copied: its tensors point
  /// there; only the copies in a narrow precision are made of the average. No step may be taken
  /// meanwhile.
  /// Errors: a parameter that does not lie in the arena.
  class Scope {
   public:
    explicit Scope(Ema& ema);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    struct Before {
      nn::NamedTensor parameter;
      Tensor tensor, working;
    };
    std::vector<Before> before_;
  };

 private:
  const nn::Module& module_;
  const ParameterArena& arena_;
  double decay_;
  Tensor average_;
};

}  // namespace kinema::engine::optim
