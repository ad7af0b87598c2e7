#include "engine/ops/step_control.h"
#include "engine/ops/views.h"
#include "engine/served.h"
#include "kernels/step_control/step_control.h"

namespace kinema::engine {

namespace {

Served<kernels::StepControl> op_for(const Tensor& t) {
  return {"step_control", kernels::step_control, t.device()};
}

}  // namespace

void begin_batch(const StepBatch& batch, const Tensor& numbers, const Tensor& draw,
                 const Tensor& factors) {
  op_for(numbers).run(&kernels::StepControl::begin, numbers.stream(), batch, numbers.view(),
                      draw.view(), factors.view());
}

void add_batch(const StepControlOptions& options, const Tensor& loss, const Tensor& numbers) {
  op_for(numbers).run(&kernels::StepControl::add, numbers.stream(), options, loss.view(),
                      numbers.view());
}

void decide_step(const StepControlOptions& options, const Tensor& numbers, const Tensor& steps,
                 const Tensor& update) {
  op_for(numbers).run(&kernels::StepControl::decide, numbers.stream(), options, numbers.view(),
                      steps.view(), update.view());
}

void next_update(double rate, const Tensor& steps, const Tensor& update) {
  op_for(update).run(&kernels::StepControl::next, update.stream(), rate, steps.view(),
                     update.view());
}

Tensor number_of(const Tensor& numbers, double StepNumbers::*field) {
  constexpr StepNumbers layout{};
  return slice(numbers, 0, &(layout.*field) - &layout.rate, 1);
}

StepNumbers& numbers_in(const Tensor& numbers) {
  kernels::check_step_numbers(numbers.view());
  return *static_cast<StepNumbers*>(numbers.layout.data);
}

}  // namespace kinema::engine
