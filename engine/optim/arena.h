#pragma once
#include <string>
#include <vector>
#include "engine/nn/module.h"
#include "engine/tensor.h"

namespace kinema::engine::optim {

/// All parameters of a module in one piece of memory, and their gradients in another, so that
/// clipping and the optimiser are one pass each. The parameters themselves move: the module's
/// tensors keep their values, layout and place on the tape, and share the arena's memory from then
/// on. Each starts at a multiple of 64 bytes; what lies between elements is zero in both.
/// The module computes in the arena's precision. With bf16 or f16 a third piece holds all values
/// rounded to it, element by element where values() has them: what convolutions and fully connected
/// layers read in the place of their weights. Optimisers write it in the pass that moves the
/// values. A parameter that two names share is held once. The module must outlive its arena; of two
/// arenas of one module the later counts.
class ParameterArena {
 public:
  /// Errors: a parameter that is not f32; parameters on several devices; a precision other than
  /// f32, bf16 and f16.
  explicit ParameterArena(nn::Module& module, Dtype precision = Dtype::f32);
  ParameterArena(const ParameterArena&) = delete;
  ParameterArena& operator=(const ParameterArena&) = delete;

  /// Forgets all gradients, without a pass over memory: the next backward() overwrites them.
  void zero_grad();
  /// All values, one axis.
  const Tensor& values() const { return values_; }
  /// All values in the precision; not given where that is f32.
  const Tensor& working() const { return working_; }
  /// Rounds all values to working(): for whoever changes them other than by an optimiser.
  void update_working() const;
  /// All gradients, one axis, in the order of values(). A parameter that got none since zero_grad()
  /// counts as one whose gradient is 0: its place is filled here, so that momentum and decay go on.
  /// Errors: a gradient that lies elsewhere, because a later arena took it.
  const Tensor& gradients() const;

  /// How many parameters there are, and the name of each (the first, where it has several).
  size_t count() const { return parts_.size(); }
  const std::string& name(size_t i) const { return parts_[i].name; }
  /// Where parameter i begins, in elements of values().
  int64_t start(size_t i) const { return parts_[i].start; }
  /// Parameter i in `flat`, memory laid out as values(): a velocity, say. Shares its memory.
  Tensor part(const Tensor& flat, size_t i) const;

 private:
  struct Part {
    std::string name;
    Tensor tensor;  ///< the parameter, in the arena
    int64_t start;  ///< in elements of values()
  };
  std::vector<Part> parts_;
  /// Memory of `flat` that parameter i would take, laid out alike in all pieces.
  Tensor place(const Tensor& flat, int64_t start, const Shape& shape) const;

  Dtype precision_;
  Tensor values_, gradients_, working_;
};

}  // namespace kinema::engine::optim
