#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include "kernels/base/dtype.h"

namespace kinema::kernels {

constexpr int max_rank = 6;

/// Sizes of up to six axes, outermost first. Every product is 64-bit.
struct Shape {
  std::array<int64_t, max_rank> dim{};
  int rank = 0;

  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) {
    check(sizes.size() <= size_t(max_rank), "shape: at most 6 axes, got ", sizes.size());
    for (int64_t s : sizes) {
      check(s >= 0, "shape: sizes must not be negative, got ", s);
      dim[size_t(rank++)] = s;
    }
  }
  int64_t& operator[](int axis) { return dim[size_t(axis < 0 ? axis + rank : axis)]; }
  int64_t operator[](int axis) const { return dim[size_t(axis < 0 ? axis + rank : axis)]; }
  int64_t size() const {
    int64_t n = 1;
    for (int64_t d : *this) n *= d;
    return n;
  }
  const int64_t* begin() const { return dim.data(); }
  const int64_t* end() const { return dim.data() + rank; }
  bool operator==(const Shape&) const = default;
};
inline std::ostream& operator<<(std::ostream& out, const Shape& s) {
  out << '[';
  for (int i = 0; i < s.rank; ++i) out << (i ? "," : "") << s[i];
  return out << ']';
}

using Strides = std::array<int64_t, max_rank>;

/// Strided memory that somebody else owns. Strides count elements; the last axis has stride 1.
/// `tail` is how many lanes behind each innermost row belong to this view: they are always zero,
/// and whoever writes the row writes them. A slice of channels owns none, and its kernels never
/// touch what lies behind a row. A default View stands for "not given".
struct View {
  void* data = nullptr;
  Dtype dtype = Dtype::f32;
  Shape shape = {};
  Strides strides{};
  int64_t tail = 0;

  explicit operator bool() const { return shape.rank > 0; }
  int64_t size() const { return shape.size(); }
  int64_t stride(int axis) const { return strides[size_t(axis < 0 ? axis + shape.rank : axis)]; }

  /// Elements start, start+step, ... of `axis`. Cutting the last axis gives up the tail.
  View slice(int axis, int64_t start, int64_t length, int64_t step = 1) const {
    if (axis < 0) axis += shape.rank;
    check(axis >= 0 && axis < shape.rank, "slice: axis must be below ", shape.rank, ", got ", axis);
    check(start >= 0 && length >= 0 && step >= 1 &&
              (length == 0 || start + (length - 1) * step < shape[axis]),
          "slice: [", start, " +", length, " by ", step, "] leaves axis ", axis, " of ", shape);
    bool last = axis == shape.rank - 1;
    check(!last || step == 1, "slice: the last axis takes no step, got ", step);
    View v = *this;
    if (v.data) v.data = static_cast<char*>(data) + start * stride(axis) * size_of(dtype);
    v.shape[axis] = length;
    v.strides[size_t(axis)] *= step;
    if (last && length != shape[axis]) v.tail = 0;
    return v;
  }
};

template <class T>
T* data(const View& v) {
  check(v.dtype == dtype_of<std::remove_const_t<T>>(), "data: expected ",
        dtype_of<std::remove_const_t<T>>(), ", got ", v.dtype);
  return static_cast<T*>(v.data);
}

constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/// Strides of a fresh tensor: the innermost row is padded to 16 bytes. Five-axis tensors of at most
/// 4 channels (frames, stem filters) stay dense in C; there rows of W pixels are padded instead.
/// One-axis tensors are not padded.
inline View fresh_layout(Dtype dtype, const Shape& shape) {
  View v{.data = nullptr, .dtype = dtype, .shape = shape};
  const int64_t lanes = 16 / size_of(dtype);
  const bool frames = shape.rank == 5 && shape[4] <= 4;
  int64_t stride = 1;
  for (int axis = shape.rank - 1; axis >= 0; --axis) {
    v.strides[size_t(axis)] = stride;
    stride *= shape[axis];
    if (axis == shape.rank - 1 && shape.rank > 1 && !frames) {
      v.tail = round_up(stride, lanes) - stride;
      stride += v.tail;
    }
    if (frames && axis == 3) stride = round_up(stride, lanes);
  }
  return v;
}

/// Elements that fresh_layout's outermost axis spans: what an allocation must hold.
inline int64_t span(const View& v) {
  if (!v.shape.rank || !v.size()) return 0;
  int64_t last = 1 + v.tail;
  for (int a = 0; a < v.shape.rank; ++a) last += (v.shape[a] - 1) * v.stride(a);
  return last;
}

/// True if axes [first, last] are one uniform run at the pitch stride(last). Axes of size 1 may
/// have any stride, so each axis is held against the elements behind it, not against its neighbour.
inline bool uniform(const View& v, int first, int last) {
  int64_t expected = v.shape[last] * v.stride(last);
  for (int a = last - 1; a >= first; --a) {
    if (v.shape[a] > 1 && v.stride(a) != expected) return false;
    expected *= v.shape[a];
  }
  return true;
}

/// True if the rows of all leading axes lie at one pitch, whatever their number: [rows, C].
inline bool uniform_rows(const View& v) {
  return v.shape.rank < 2 || uniform(v, 0, v.shape.rank - 2);
}

/// Where each innermost row of a view starts, in elements: leading axes that are uniform are merged
/// once, so that the usual tensor costs one multiplication a row.
class RowOffsets {
 public:
  explicit RowOffsets(const View& v) {
    for (int a = 0; a < v.shape.rank - 1; ++a) {
      rows_ *= v.shape[a];
      if (v.shape[a] == 1) continue;
      if (axes_ && stride_[size_t(axes_ - 1)] == v.shape[a] * v.stride(a)) {
        size_[size_t(axes_ - 1)] *= v.shape[a];
        stride_[size_t(axes_ - 1)] = v.stride(a);
      } else {
        size_[size_t(axes_)] = v.shape[a];
        stride_[size_t(axes_++)] = v.stride(a);
      }
    }
  }
  int64_t rows() const { return rows_; }
  int64_t operator()(int64_t row) const {
    if (axes_ == 1) return row * stride_[0];
    int64_t offset = 0;
    for (int a = axes_ - 1; a >= 0; --a) {
      offset += row % size_[size_t(a)] * stride_[size_t(a)];
      row /= size_[size_t(a)];
    }
    return offset;
  }

 private:
  int axes_ = 0;
  int64_t rows_ = 1;
  std::array<int64_t, max_rank> size_{}, stride_{};
};

}  // namespace kinema::kernels
