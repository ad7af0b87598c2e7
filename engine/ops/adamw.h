#pragma once
#include "engine/tensor.h"
#include "kernels/adamw/adamw_options.h"

namespace kinema::engine {

using kernels::AdamWOptions;

/// Step t, counted from 1, of kernels/adamw: w, m and v in place, by the gradient g. `working`,
/// where it is given, becomes the new w in its own narrow type. Not on the tape.
/// Errors: kernels/adamw's.
void adamw_step(const AdamWOptions& options, int64_t t, const Tensor& w, const Tensor& g,
                const Tensor& m, const Tensor& v, const Tensor& working = {});

/// Throws Error unless the options have a meaning.
void check_adamw(const AdamWOptions& options);

}  // namespace kinema::engine
