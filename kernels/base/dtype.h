#pragma once
#include <cstdint>
#include <ostream>
#include "kernels/base/error.h"

namespace kinema::kernels {

/// Element types. f64 lives in the reference alone; u8 holds frames and pooling taps; i64 labels.
enum class Dtype : uint8_t { f32, f64, u8, i32, i64 };

constexpr int64_t size_of(Dtype d) {
  switch (d) {
    case Dtype::f32:
    case Dtype::i32:
      return 4;
    case Dtype::f64:
    case Dtype::i64:
      return 8;
    case Dtype::u8:
      return 1;
  }
  return 0;
}

constexpr const char* name_of(Dtype d) {
  constexpr const char* names[] = {"f32", "f64", "u8", "i32", "i64"};
  return names[int(d)];
}
inline std::ostream& operator<<(std::ostream& out, Dtype d) { return out << name_of(d); }

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

/// Calls f with a zero of the floating-point type behind `d`; refuses any other, naming `op`.
template <class F>
decltype(auto) dispatch_float(const char* op, Dtype d, F&& f) {
  switch (d) {
    case Dtype::f32:
      return f(float{});
    case Dtype::f64:
      return f(double{});
    default:
      fail(op, ": expected a floating-point tensor, got ", d);
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
  }
  fail("dispatch: unknown type");
}

}  // namespace kinema::kernels
