#pragma once
#include <functional>
#include <optional>
#include <string>
#include "engine/nn/module.h"

namespace kinema::engine::train {

/// "NaN" or "Inf", which of them t holds first; none if all of its elements are finite or no
/// f32, bf16 or f16. One pass over t.
std::optional<std::string> fault_of(const Tensor& t);

/// The first parameter or buffer of `network` that is not finite, as "weight conv1.weight
/// [16,3,3,3,3] holds NaN" or "buffer norm1.running_var [16] holds Inf"; none if all are finite.
std::optional<std::string> fault_of_weights(const nn::Module& network);

/// Runs `pass`, a forward and a backward pass, and holds every result and every gradient, in the
/// order in which they come, against fault_of(): "the output of conv3d in block1.conv
/// [8,4,16,16,12] holds Inf", "the gradient of weight ... [...], by conv3d in block1.conv, holds
/// NaN", "the gradient of the input of relu in act [...] holds NaN". The pass ends there; none if
/// it comes to its end. Costs one more pass over each tensor.
std::optional<std::string> fault_of_pass(const nn::Module& network,
                                         const std::function<void()>& pass);

}  // namespace kinema::engine::train
