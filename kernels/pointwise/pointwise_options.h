#pragma once
#include <cstdint>

namespace kinema::kernels {

/// Functions of one number, each with a gradient that its result alone gives.
enum class Unary : uint8_t { relu, sigmoid, tanh };

/// Which elements a dropout keeps: those whose Philox word, as a number in [0,1), is at least p.
struct DropoutOptions {
  double p = 0.5;                ///< share that is dropped, in [0,1]
  uint64_t seed = 0;             ///< Philox's key
  uint64_t place = 0, call = 0;  ///< with the step the stream: stream_of_draw(call, step, place)
};

}  // namespace kinema::kernels
