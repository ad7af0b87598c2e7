#pragma once
#include "engine/tensor.h"
#include "kernels/base/update.h"
#include "kernels/step_control/step_control_options.h"

namespace kinema::engine {

using kernels::StepBatch, kernels::StepControlOptions, kernels::StepNumbers, kernels::Update;

/// The passes of kernels/step_control, on the device of their tensors. Not on the tape.
/// Errors: its errors.
void begin_batch(const StepBatch& batch, const Tensor& numbers, const Tensor& draw,
                 const Tensor& factors);
void add_batch(const StepControlOptions& options, const Tensor& loss, const Tensor& numbers);
void decide_step(const StepControlOptions& options, const Tensor& numbers, const Tensor& steps,
                 const Tensor& update);
void next_update(double rate, const Tensor& steps, const Tensor& update);

/// One of the numbers, f64 [1], in their memory.
Tensor number_of(const Tensor& numbers, double StepNumbers::*field);
/// All of them; `numbers` lies in memory of the host.
StepNumbers& numbers_in(const Tensor& numbers);

}  // namespace kinema::engine
