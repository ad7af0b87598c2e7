#include <cmath>
#include "kernels/step_control/step_control.h"
#include "kernels/step_control/step_control_rule.h"

namespace kinema::kernels {

namespace {

void begin(Stream, const StepBatch& b, View numbers, View draw, View factors) {
  check_step_begin(numbers, draw, factors);
  begin_batch(b, *static_cast<StepNumbers*>(numbers.data), *data<int64_t>(draw),
              data<float>(factors));
}

void add(Stream, const StepControlOptions& o, View loss, View numbers) {
  check_step_add(loss, numbers);
  add_batch(o, double(*data<const float>(loss)), *static_cast<StepNumbers*>(numbers.data));
}

void decide(Stream, const StepControlOptions& o, View numbers, View steps, View update) {
  check_step_numbers(numbers);
  check_step_update(steps, update);
  StepNumbers& s = *static_cast<StepNumbers*>(numbers.data);
  decide_step(o, std::sqrt(s.squared_norm), s, *data<int64_t>(steps),
              *static_cast<Update*>(update.data));
}

void next(Stream, double rate, View steps, View update) {
  check_step_update(steps, update);
  next_update(rate, *data<int64_t>(steps), *static_cast<Update*>(update.data));
}

}  // namespace

const StepControl step_control_reference = {
    .begin = begin, .add = add, .decide = decide, .next = next};

}  // namespace kinema::kernels
