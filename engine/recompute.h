#pragma once
#include <functional>
#include "engine/tensor.h"

namespace kinema::engine {

/// y = f(x), of which the tape keeps x alone: the backward pass runs f again to have what its rules
/// need (activation checkpointing). Draws, policy and module path are those of the first run, and
/// running statistics are moved by the first run only, so that gradients are the same bits as
/// without. Costs one more forward pass of f. Without grad mode it is f(x). May be nested.
/// f must give the same twice, and what it captures must be parameters or constants: any other
/// tensor that wants a gradient has to come in as x. The result counts as one that wants a
/// gradient. Source: Chen et al., arXiv:1604.06174, section 3.
Tensor recomputed(const std::function<Tensor(const Tensor&)>& f, const Tensor& x);

/// True while a backward pass runs a segment again: what a forward pass changes beside its result
/// is then to be left alone.
bool recomputing();

}  // namespace kinema::engine
