#pragma once
#include <algorithm>
#include "kernels/base/view.h"
#include "kernels/device/math.h"

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// Division by a number that is known before the launch: one 64-bit multiplication instead of some
/// 70 instructions. Right for 0 <= n < 2^63.
/// Source: Granlund and Montgomery, PLDI 1994, figure 4.1.
class FastDivisor {
 public:
  FastDivisor() = default;
  explicit FastDivisor(int64_t divisor) : divisor_(uint64_t(divisor)) {
    check(divisor >= 1, "divisor: must be at least 1, got ", divisor);
    while (shift_ < 63 && uint64_t(1) << shift_ < divisor_) ++shift_;
    const auto excess = static_cast<unsigned __int128>((uint64_t(1) << shift_) - divisor_);
    multiplier_ = uint64_t((excess << 64) / divisor_) + 1;
  }
  KERNELS_BOTH int64_t quotient(int64_t n) const {
    return int64_t((multiply_high(multiplier_, uint64_t(n)) + uint64_t(n)) >> shift_);
  }
  KERNELS_BOTH int64_t remainder(int64_t n) const { return n - quotient(n) * divisor(); }
  KERNELS_BOTH int64_t divisor() const { return int64_t(divisor_); }

 private:
  uint64_t divisor_ = 1, multiplier_ = 1;
  int shift_ = 0;
};

/// Likewise for 0 <= n < 2^31, in four instructions; the divisor may be anything from 1 on.
class SmallDivisor {
 public:
  SmallDivisor() = default;
  explicit SmallDivisor(int64_t divisor) : divisor_(int(std::min<int64_t>(divisor, INT32_MAX))) {
    check(divisor >= 1, "divisor: must be at least 1, got ", divisor);
    while (int64_t(1) << (shift_ - 31) < divisor_) ++shift_;
    // Below 2^32, and too large by less than 1: n times the excess stays below 2^shift / divisor.
    multiplier_ = uint32_t((uint64_t(1) << shift_) / uint64_t(divisor_) + 1);
    if (divisor > INT32_MAX) multiplier_ = 0;
  }
  KERNELS_BOTH int quotient(int n) const {
    return int(uint64_t(uint32_t(n)) * multiplier_ >> shift_);
  }
  KERNELS_BOTH int remainder(int n) const { return n - quotient(n) * divisor_; }
  /// At most 2^31 - 1.
  KERNELS_BOTH int divisor() const { return divisor_; }

 private:
  int divisor_ = 1;
  uint32_t multiplier_ = (1u << 31) + 1;
  int shift_ = 31;
};

/// Where each innermost row of a view starts, in elements: RowOffsets for device code. A tensor
/// whose leading axes are uniform costs one multiplication a row, each further piece a division.
class RowIndex {
 public:
  RowIndex() = default;
  explicit RowIndex(const View& v) {
    for (int a = v.shape.rank - 2; a >= 0; --a) {
      rows_ *= v.shape[a];
      if (v.shape[a] <= 1) continue;
      if (axes_ && v.stride(a) == inner_stride_ * inner_size_) {
        inner_size_ *= v.shape[a];
      } else {
        if (axes_) divisor_[axes_ - 1] = FastDivisor(inner_size_);
        inner_size_ = v.shape[a];
        inner_stride_ = stride_[axes_++] = v.stride(a);
      }
    }
  }
  KERNELS_BOTH int64_t rows() const { return rows_; }
  /// True if all rows lie at one pitch, and the pitch.
  bool even() const { return axes_ <= 1; }
  int64_t pitch() const { return stride_[0]; }
  KERNELS_BOTH int64_t operator()(int64_t row) const {
    int64_t offset = 0;
#pragma unroll
    for (int a = 0; a < max_rank - 1; ++a) {
      if (a + 1 < axes_) {
        const int64_t rest = divisor_[a].quotient(row);
        offset += (row - rest * divisor_[a].divisor()) * stride_[a];
        row = rest;
      } else if (a + 1 == axes_) {
        offset += row * stride_[a];
      }
    }
    return offset;
  }

 private:
  int axes_ = 0;  ///< pieces that are not uniform with the one inside them
  int64_t rows_ = 1, inner_size_ = 1, inner_stride_ = 0;
  int64_t stride_[max_rank - 1] = {};       ///< innermost first
  FastDivisor divisor_[max_rank - 1] = {};  ///< sizes, innermost first; the outermost needs none
};

/// Where this thread begins in a grid-stride loop, and its step: any grid covers any size.
KERNELS_INLINE int64_t first_index() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }
KERNELS_INLINE int64_t index_step() { return int64_t(gridDim.x) * blockDim.x; }

/// True if p and every stride of v lie on multiples of `bytes`: rows may then be read in packs of
/// so many.
inline bool aligned(const View& v, int64_t bytes = 16) {
  if (reinterpret_cast<uintptr_t>(v.data) % uintptr_t(bytes)) return false;
  for (int a = 0; a < v.shape.rank - 1; ++a)
    if (v.shape[a] > 1 && v.stride(a) * size_of(v.dtype) % bytes) return false;
  return true;
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
