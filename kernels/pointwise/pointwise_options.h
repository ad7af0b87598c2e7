#pragma once
#include <cstdint>

namespace kinema::kernels {

/// Functions of one number, each with a gradient that its result alone gives.
enum class Unary : uint8_t { relu, sigmoid, tanh };

/// Which elements a dropout keeps: those whose Philox word, as a number in [0,1), is at least p.
struct DropoutOptions {
  double p = 0.5;                ///< share that is dropped, in [0,1]
  uint64_t key = 0, stream = 0;  ///< of Philox
};

}  // namespace kinema::kernels
