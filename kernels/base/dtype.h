#pragma once
#include <cstdint>
#include <ostream>
#include <type_traits>
#include "kernels/base/error.h"
#include "kernels/base/half.h"

namespace kinema::kernels {

/// Element types. f64 lives in the reference alone; bf16 and f16 are those of activations and of
/// the weights beside them; u8 holds frames and pooling taps; i64 labels.
enum class Dtype : uint8_t { f32, f64, u8, i32, i64, bf16, f16 };

constexpr int64_t size_of(Dtype d) {
  switch (d) {
    case Dtype::f32:
    case Dtype::i32:
      return 4;
    case Dtype::f64:
    case Dtype::i64:
      return 8;
    case Dtype::bf16:
    case Dtype::f16:
      return 2;
    case Dtype::u8:
      return 1;
  }
  return 0;
}

constexpr const char* name_of(Dtype d) {
  constexpr const char* names[] = {"f32", "f64", "u8", "i32", "i64", "bf16", "f16"};
  return names[int(d)];
}
inline std::ostream& operator<<(std::ostream& out, Dtype d) { return out << name_of(d); }

/// True for the types of 16 bits.
constexpr bool is_narrow(Dtype d) { return d == Dtype::bf16 || d == Dtype::f16; }
constexpr bool is_float(Dtype d) { return d == Dtype::f32 || d == Dtype::f64 || is_narrow(d); }

/// The type of sums, statistics, biases, normalisation parameters, weight gradients and losses
/// beside activations of type d: f32, and f64 beside f64.
constexpr Dtype wide_of(Dtype d) { return d == Dtype::f64 ? d : Dtype::f32; }
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T>
constexpr Dtype dtype_of();
template <>
constexpr Dtype dtype_of<float>() {
  return Dtype::f32;
}
template <>
constexpr Dtype dtype_of<double>() {
  return Dtype::f64;
}
template <>
constexpr Dtype dtype_of<uint8_t>() {
  return Dtype::u8;
}
template <>
constexpr Dtype dtype_of<int32_t>() {
  return Dtype::i32;
}
template <>
constexpr Dtype dtype_of<int64_t>() {
  return Dtype::i64;
}
template <>
constexpr Dtype dtype_of<bf16>() {
  return Dtype::bf16;
}
template <>
constexpr Dtype dtype_of<f16>() {
  return Dtype::f16;
}

/// Calls f with a zero of the floating-point type behind `d`; refuses any other, naming `op`.
template <class F>
decltype(auto) dispatch_float(const char* op, Dtype d, F&& f) {
  switch (d) {
    case Dtype::f32:
      return f(float{});
    case Dtype::f64:
      return f(double{});
    case Dtype::bf16:
      return f(bf16{});
    case Dtype::f16:
      return f(f16{});
    default:
      fail(op, ": expected a floating-point tensor, got ", d);
  }
}

/// Likewise for the types that every backend computes with: all but f64.
template <class F>
decltype(auto) dispatch_activation(const char* op, Dtype d, F&& f) {
  switch (d) {
    case Dtype::f32:
      return f(float{});
    case Dtype::bf16:
      return f(bf16{});
    case Dtype::f16:
      return f(f16{});
    default:
      fail(op, ": expected f32, bf16 or f16, got ", d);
  }
}

/// Calls f with a zero of the C++ type behind `d`: all types.
template <class F>
decltype(auto) dispatch_any(Dtype d, F&& f) {
  switch (d) {
    case Dtype::f32:
      return f(float{});
    case Dtype::f64:
      return f(double{});
    case Dtype::u8:
      return f(uint8_t{});
    case Dtype::i32:
      return f(int32_t{});
    case Dtype::i64:
      return f(int64_t{});
    case Dtype::bf16:
      return f(bf16{});
    case Dtype::f16:
      return f(f16{});
  }
  fail("dispatch: unknown type");
}

}  // namespace kinema::kernels
