#pragma once
#include "engine/tensor.h"

namespace kinema::engine {

/// Element by element, kernels/pointwise; any shape and strides. All differentiable; what they keep
/// for that is y (relu, sigmoid, tanh), the other factor (multiply) or nothing (add, dropout).

Tensor relu(const Tensor& x);     ///< max(x, 0); NaN stays NaN
Tensor sigmoid(const Tensor& x);  ///< 1 / (1 + e^-x)
Tensor tanh(const Tensor& x);

/// a + b and a * b. Errors: shapes or types differ; nothing is broadcast.
Tensor add(const Tensor& a, const Tensor& b);
Tensor multiply(const Tensor& a, const Tensor& b);

/// Each element is 0 with probability p, else x / (1 - p). Draws next_key("dropout"), so it must
/// run inside a RandomScope; x itself for p = 0. Errors: p outside of [0,1]; no RandomScope.
Tensor dropout(const Tensor& x, double p);

/// t *= factor, in place. Not on the tape: for gradients and optimiser state.
void scale_in_place(const Tensor& t, double factor);

/// dy where a ReLU let y through (y > 0), else 0: for the rules of operations that end in one. Not
/// on the tape.
Tensor through_relu(const Tensor& y, const Tensor& dy);

}  // namespace kinema::engine
