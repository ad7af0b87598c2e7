#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>
#include "kernels/base/backend.h"
#include "kernels/base/runtime.h"
#include "kernels/base/view.h"

// Benchmarks of device code. bench/OP_device_bench.cpp defines the constant OP_device_bench, which
// the program finds by the file's name. Like the device tests they need neither engine nor oneDNN.

namespace kinema::bench {

using kernels::Dtype, kernels::Shape, kernels::Stream, kernels::View;

/// Gives out tensors in device memory: random numbers, normal (0, 1) or labels, that live as long
/// as the bench.
class Memory {
 public:
  explicit Memory(const kernels::Runtime& runtime) : runtime_(runtime) {}
  View random(const Shape&, Dtype);
  /// Integers in [0, below).
  View labels(const Shape&, Dtype, int64_t below);
  View empty(const Shape&, Dtype);

 private:
  const kernels::Runtime& runtime_;
  std::vector<std::shared_ptr<void>> kept_;
  uint64_t seed_ = 1;
};

/// What is timed, on tensors that have been made before.
using Work = std::function<void(Stream)>;

/// One row of the report.
struct Case {
  std::string name;         ///< pass, type, shape
  int64_t floor_bytes = 0;  ///< each input read once, each output written once
  std::function<Work(Memory&)> make;
  double flop = 0;       ///< 0 where memory alone can bind
  double flop_rate = 0;  ///< a second, at best
};

struct Settings {
  bool emulated = false;  ///< which constant of the contract to run
  bool small = false;     ///< the `ci` cases alone: seen to run, not timed
};

/// What an operation contributes.
struct DeviceBench {
  std::vector<Case> (*cases)(const Settings&);
};

/// The constant to run: `device_op(settings, &lerp_cuda, &lerp_emulated)`.
template <class Op>
const Op& device_op(const Settings& s, const Op* cuda, const Op* emulated) {
  return s.emulated ? *emulated : *cuda;
}

/// True for the rows of a case table that are wanted.
inline bool wanted(const Settings& s, const char* tag) {
  return std::string(tag) == (s.small ? "ci" : "full");
}

/// Bytes of the elements of a shape, tails left out.
inline int64_t bytes_of(const Shape& shape, Dtype type) { return shape.size() * size_of(type); }

/// FLOP a second that bound a matrix product on an H200: of narrow types what dense products have
/// reached there on random data (docs/design.md), of f32 its data sheet's rate without tensor
/// cores.
constexpr double flop_rate(Dtype type) { return kernels::is_narrow(type) ? 790e12 : 67e12; }

/// "bf16 [8,16,56,56,64]".
std::string describe(Dtype type, const Shape& shape);

}  // namespace kinema::bench
