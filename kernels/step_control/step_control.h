#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/update.h"
#include "kernels/step_control/step_control_options.h"

namespace kinema::kernels {

/// The numbers that decide what a step of training does, in memory of the device that computes its
/// gradients: nothing waits until the host has seen them, and a graph of a step's launches serves
/// all steps. In the order in which a step runs them:
///   begin   a batch. Of the step's first the sums start anew. draw = its number of draws; factors
///           = {loss_scale * clips / unit, mix_share, 1 - mix_share}: the gradient of its mean loss
///           (unit: clips of the first batch) and the weights of two labels in a mixture
///   add     loss, its mean loss: loss_sum += loss * clips. The batch is a fault if its loss is not
///           finite, or squared_norm is not under a loss scale that cannot be halved
///   decide  applied = no fault so far in the run, and squared_norm is finite. norm and the
///   update's
///           factor undo loss_scale and take the mean over all clips of the step, the factor clips
///           to clip_norm too. If applied, steps, those of the optimiser, grow by one. Where it is
///           not, the loss scale halves; it doubles after `patience` steps without. After a fault
///           it stays. Source: Micikevicius et al., Mixed Precision Training, arXiv:1710.03740,
///           section 3.2.
///   next    an update that asks nothing: {rate, 1, 1, ++steps}
///   numbers f64 [17], kernels::StepNumbers;  update  f64 [4], kernels::Update;  draw, steps  i64
///   [1] factors f32 [3];  loss  f32 [1]
/// All in double. Each pass is one thread's work.
/// Errors: a tensor of another type or shape.
struct StepControl {
  void (*begin)(Stream, const StepBatch&, View numbers, View draw, View factors);
  void (*add)(Stream, const StepControlOptions&, View loss, View numbers);
  void (*decide)(Stream, const StepControlOptions&, View numbers, View steps, View update);
  void (*next)(Stream, double rate, View steps, View update);
};
extern const StepControl step_control_reference, step_control_cpu;
KERNELS_OPTIONAL extern const StepControl step_control_cuda, step_control_emulated;
inline constexpr StepControl step_control_meta = {ignored, ignored, ignored, ignored};

inline const StepControl& step_control(Backend b) {
  return select<StepControl>("step_control", b,
                             {.reference = &step_control_reference,
                              .cpu = &step_control_cpu,
                              .cuda = &step_control_cuda,
                              .emulated = &step_control_emulated,
                              .meta = &step_control_meta});
}

inline void check_step_numbers(const View& numbers) {
  check_number("step_control", "numbers", numbers, Dtype::f64, StepNumbers::size);
}
inline void check_step_begin(const View& numbers, const View& draw, const View& factors) {
  check_step_numbers(numbers);
  check_number("step_control", "draw", draw, Dtype::i64);
  check_number("step_control", "factors", factors, Dtype::f32, 3);
}
inline void check_step_update(const View& steps, const View& update) {
  check_number("step_control", "steps", steps, Dtype::i64);
  check_update("step_control", update);
}
inline void check_step_add(const View& loss, const View& numbers) {
  check_number("step_control", "loss", loss, Dtype::f32);
  check_step_numbers(numbers);
}

}  // namespace kinema::kernels
