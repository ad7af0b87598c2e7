#pragma once
#include "engine/tensor.h"
#include "kernels/sgd/sgd_options.h"

namespace kinema::engine {

using kernels::SgdOptions;

/// One step of kernels/sgd: w and v in place, by the gradient g, as `update`, f64 [4] on their
/// device, says. v is not given without momentum; step number 1 sets it. `working`, where it is
/// given, becomes the new w in its own narrow type. Not on the tape. Errors: kernels/sgd's.
void sgd_step(const SgdOptions& options, const Tensor& update, const Tensor& w, const Tensor& g,
              const Tensor& v, const Tensor& working = {});

/// Throws Error unless the options have a meaning.
void check_sgd(const SgdOptions& options);

}  // namespace kinema::engine
