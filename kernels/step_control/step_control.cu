#include "kernels/device/device.h"
#include "kernels/device/launch.h"
#include "kernels/step_control/step_control.h"
#include "kernels/step_control/step_control_rule.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::step_control {

// One thread each: what they cost is the launch.
constexpr Geometry one_thread{.grid = dim3(1), .block = dim3(1)};

__global__ void __launch_bounds__(1)
    begin_kernel(StepBatch batch, StepNumbers* numbers, int64_t* draw, float* factors) {
  begin_batch(batch, *numbers, *draw, factors);
}
__global__ void __launch_bounds__(1)
    add_kernel(StepControlOptions options, const float* loss, StepNumbers* numbers) {
  add_batch(options, double(*loss), *numbers);
}
__global__ void __launch_bounds__(1) decide_kernel(StepControlOptions options, StepNumbers* numbers,
                                                   int64_t* steps, Update* update) {
  decide_step(options, sqrt(numbers->squared_norm), *numbers, *steps, *update);
}
__global__ void __launch_bounds__(1) next_kernel(double rate, int64_t* steps, Update* update) {
  next_update(rate, *steps, *update);
}

void begin(Stream stream, const StepBatch& batch, View numbers, View draw, View factors) {
  check_step_begin(numbers, draw, factors);
  launch("step_control.begin", begin_kernel, one_thread, stream, batch,
         static_cast<StepNumbers*>(numbers.data), data<int64_t>(draw), data<float>(factors));
}

void add(Stream stream, const StepControlOptions& o, View loss, View numbers) {
  check_step_add(loss, numbers);
  launch("step_control.add", add_kernel, one_thread, stream, o, data<const float>(loss),
         static_cast<StepNumbers*>(numbers.data));
}

void decide(Stream stream, const StepControlOptions& o, View numbers, View steps, View update) {
  check_step_numbers(numbers);
  check_step_update(steps, update);
  launch("step_control.decide", decide_kernel, one_thread, stream, o,
         static_cast<StepNumbers*>(numbers.data), data<int64_t>(steps),
         static_cast<Update*>(update.data));
}

void next(Stream stream, double rate, View steps, View update) {
  check_step_update(steps, update);
  launch("step_control.next", next_kernel, one_thread, stream, rate, data<int64_t>(steps),
         static_cast<Update*>(update.data));
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::step_control

namespace kinema::kernels {

const StepControl KERNELS_DEVICE(step_control) = {.begin = device::step_control::begin,
                                                  .add = device::step_control::add,
                                                  .decide = device::step_control::decide,
                                                  .next = device::step_control::next};

}  // namespace kinema::kernels
