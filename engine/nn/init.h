#pragma once
#include "engine/random.h"
#include "engine/tensor.h"

namespace kinema::engine::nn {

/// Initial values of parameters, each drawn from a stream of its own:
///   he_normal(weight, fan_in, key_of(seed, path() + ".weight"));
/// `fan_in` is how many inputs one output sums (kt*kh*kw*C/groups for a convolution), `fan_out` how
/// many outputs one input reaches.

/// Normal with mean 0 and variance 2 / fan_in: keeps the size of activations through ReLUs.
/// Source: He et al., arXiv:1502.01852, eq. 10.
void he_normal(const Tensor& t, int64_t fan_in, RandomKey key);

/// Uniform in [-a, a), a = sqrt(6 / (fan_in + fan_out)): for layers without a ReLU behind them.
/// Source: Glorot and Bengio, AISTATS 2010, eq. 16.
void xavier_uniform(const Tensor& t, int64_t fan_in, int64_t fan_out, RandomKey key);

/// Normal with mean 0.
void normal(const Tensor& t, double deviation, RandomKey key);

}  // namespace kinema::engine::nn
