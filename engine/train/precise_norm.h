#pragma once
#include <functional>
#include "engine/nn/module.h"

namespace kinema::engine::train {

/// Precise batch norm: sets the running statistics of every batch norm below `network` to the mean
/// and the variance, divided by their number, of all values that reached it while `run` ran the
/// network in training mode, over some batches. Running averages lag behind the weights, and weigh
/// the last batches most. A batch norm that did not run keeps its own.
/// Source: Wu and Johnson, arXiv:2105.07576, section 3.
void precise_norm(const nn::Module& network, const std::function<void()>& run);

}  // namespace kinema::engine::train
