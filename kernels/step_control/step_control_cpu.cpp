#include "kernels/step_control/step_control.h"

namespace kinema::kernels {

// Some numbers: nothing could be faster than the reference.
const StepControl step_control_cpu = step_control_reference;

}  // namespace kinema::kernels
