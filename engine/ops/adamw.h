#pragma once
#include "engine/tensor.h"
#include "kernels/adamw/adamw_options.h"

namespace kinema::engine {

using kernels::AdamWOptions;

/// One step of kernels/adamw: w, m and v in place, by the gradient g, as `update`, f64 [4] on their
/// device, says. `working`, where it is given, becomes the new w in its own narrow type. Not on the
/// tape.
/// Errors: kernels/adamw's.
void adamw_step(const AdamWOptions& options, const Tensor& update, const Tensor& w, const Tensor& g,
                const Tensor& m, const Tensor& v, const Tensor& working = {});

/// Throws Error unless the options have a meaning.
void check_adamw(const AdamWOptions& options);

}  // namespace kinema::engine
