#pragma once
#include <string>
#include "engine/nn/module.h"

namespace kinema::engine::nn {

/// "f32", "bf16" or "f16" as a type. Errors: anything else.
Dtype precision_from(const std::string& name);

/// Makes `network` compute in f32, bf16 or f16: convolutions and fully connected layers read copies
/// of their weights in that type from then on, and what goes in must have it too. The parameters
/// themselves, biases, norms and buffers stay f32. The copies do not follow the parameters: set
/// again after changing them (a ParameterArena of a precision has its copies follow by itself).
/// Errors: another type.
void set_precision(const Module& network, Dtype precision);

}  // namespace kinema::engine::nn
