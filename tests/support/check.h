#pragma once
#include <gtest/gtest.h>
#include <cmath>
#include <functional>
#include <string>
#include <vector>
#include "engine/autograd.h"
#include "engine/ops/copy.h"
#include "engine/policy.h"
#include "engine/tensor.h"

namespace kinema::test {

using namespace kinema::engine;

/// The distance from 1 to the next number.
inline double epsilon(Dtype d) {
  if (d == Dtype::bf16) return 0x1p-7;
  if (d == Dtype::f16) return 0x1p-10;
  return d == Dtype::f32 ? 0x1p-23 : 0x1p-52;
}
/// By how much the last rounding may tear apart what agrees within a bound of f32: results near the
/// middle of two narrow numbers fall to either side, one unit in the last place apart.
inline double rounding(Dtype d) { return kernels::is_narrow(d) ? epsilon(d) : 0; }

/// The types that the cpu backend computes with.
inline constexpr Dtype activation_types[] = {Dtype::f32, Dtype::bf16, Dtype::f16};

/// Uniform in [low, high), the same for the same seed.
Tensor random(const Shape& shape, uint64_t seed = 1, Dtype dtype = Dtype::f32, double low = -1,
              double high = 1);

/// max|a - b| / max|b|; infinite where either holds NaN or the shapes differ.
double error(const Tensor& a, const Tensor& b);

/// A tensor that is a slice of channels [front, front + C) of a wider one, whose other lanes hold
/// a mark: what a branch of a concatenation writes to and reads from.
struct Slice {
  Tensor whole, part;
  int64_t front = 0;
  Slice(const Shape& shape, int64_t front, int64_t back, Dtype dtype = Dtype::f32);
  /// Holds the values of t.
  Slice(const Tensor& t, int64_t front, int64_t back);
  /// True if every lane outside of the part still holds the mark.
  bool neighbours_untouched() const;
};

/// A fresh tensor whose elements and zero lanes are all NaN (or the largest integer): what a
/// producer must overwrite.
Tensor poisoned(const Shape& shape, Dtype dtype = Dtype::f32);

/// True if every zero lane that t owns is zero.
bool tail_is_zero(const Tensor& t);

/// A differentiable function of tensors.
using Function = std::function<Tensor(const std::vector<Tensor>&)>;

/// Forward and every gradient of f on `backend` against the reference, both in the inputs' type.
/// Inputs that are no floating-point tensors take no gradient. Succeeds within `bound` (see error),
/// to which narrow results add their rounding().
::testing::AssertionResult matches_reference(const Function& f, const std::vector<Tensor>& inputs,
                                             double bound, Backend backend = Backend::cpu);

/// The same of f on the GPU in use against f on the CPU.
::testing::AssertionResult matches_cpu(const Function& f, const std::vector<Tensor>& inputs,
                                       double bound);

/// Gradients of f on the reference against central differences in f64; inputs must be f64 (others
/// are held fixed). `bound` is absolute, for inputs of size 1: the step of 1e-4 leaves about 1e-8
/// times the third derivative, and rounding about 1e-12.
::testing::AssertionResult gradient_is_right(const Function& f, const std::vector<Tensor>& inputs,
                                             double bound = 1e-6);

/// The elements of t as f32.
std::vector<float> floats(const Tensor& t);

/// The text of the Error that f throws; "" if it throws none.
std::string refusal(const std::function<void()>& f);

}  // namespace kinema::test
