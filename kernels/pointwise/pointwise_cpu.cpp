// Bound by memory but for dropout, whose ten Philox rounds cost three nanoseconds an element.
#include <algorithm>
#include <array>
#include <cmath>
#include "kernels/base/parallel.h"
#include "kernels/base/philox.h"
#include "kernels/base/vector_math.h"
#include "kernels/pointwise/pointwise.h"

namespace kinema::kernels {

namespace {

constexpr int64_t grain = 16384;  // elements a core takes at least

/// True if no gap but the zero lanes lies between the rows of v.
bool dense(const View& v) {
  return uniform_rows(v) && (v.shape.rank == 1 || v.stride(-2) == v.shape[-1] + v.tail);
}

/// f(a, b, y, length) on pointers to runs of elements, on all cores. Runs end with each row, unless
/// all three views are dense alike: then zero lanes go through f too, which must give 0 for zeros
/// where `zero_to_zero` says so.
template <class T, class F>
void each_run(const View& a, const View& b, const View& y, bool zero_to_zero, const F& f) {
  if (!y.size()) return;
  const T *from_a = data<const T>(a), *from_b = data<const T>(b);
  T* to = data<T>(y);
  const int64_t length = y.shape[-1];
  if (dense(a) && dense(b) && dense(y) && a.tail == y.tail && b.tail == y.tail &&
      (zero_to_zero || y.tail == 0))
    return parallel_for(y.size() / length * (length + y.tail), grain, [&](int64_t i, int64_t end) {
      f(from_a + i, from_b + i, to + i, end - i);
    });
  const RowOffsets in_a(a), in_b(b), in_y(y);
  parallel_for(in_y.rows(), std::max<int64_t>(1, grain / length), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      f(from_a + in_a(r), from_b + in_b(r), to + in_y(r), length);
      std::fill_n(to + in_y(r) + length, y.tail, T(0));
    }
  });
}

/// y[i] = value(a[i], b[i]), or += with `accumulate`, over each run: in f32, rounded once.
template <class Value>
void map(const char* op, const View& a, const View& b, const View& y, bool accumulate,
         bool zero_to_zero, const Value& value) {
  dispatch_activation(op, y.dtype, [&]<class T>(T) {
    each_run<T>(a, b, y, zero_to_zero, [&](const T* p, const T* q, T* to, int64_t length) {
      if (accumulate) {
#pragma omp simd
        for (int64_t i = 0; i < length; ++i) to[i] = T(to[i] + value(p[i], q[i]));
      } else {
#pragma omp simd
        for (int64_t i = 0; i < length; ++i) to[i] = T(value(p[i], q[i]));
      }
    });
  });
}

void forward(Stream, Unary u, View x, View y) {
  check_pointwise(name_of(u), x, y);
  switch (u) {
    case Unary::relu:
      return map(name_of(u), x, x, y, false, true, [](float v, float) { return v < 0 ? 0 : v; });
    case Unary::sigmoid:
      return map(name_of(u), x, x, y, false, false,
                 [](float v, float) { return vector_sigmoid(v); });
    case Unary::tanh:
      return map(name_of(u), x, x, y, false, true, [](float v, float) { return vector_tanh(v); });
  }
}

void grad(Stream, Unary u, View y, View dy, View dx, bool accumulate) {
  check_pointwise(name_of(u), y, dy);
  check_pointwise(name_of(u), y, dx);
  switch (u) {
    case Unary::relu:
      return map(name_of(u), y, dy, dx, accumulate, true,
                 [](float v, float g) { return v > 0 ? g : 0; });
    case Unary::sigmoid:
      return map(name_of(u), y, dy, dx, accumulate, true,
                 [](float v, float g) { return g * v * (1 - v); });
    case Unary::tanh:
      return map(name_of(u), y, dy, dx, accumulate, true,
                 [](float v, float g) { return g * (1 - v * v); });
  }
}

void add(Stream, View a, View b, View y) {
  check_pointwise("add", a, b);
  check_pointwise("add", a, y);
  map("add", a, b, y, false, true, [](float p, float q) { return p + q; });
}

void multiply(Stream, View a, View b, View y, bool accumulate) {
  check_pointwise("multiply", a, b);
  check_pointwise("multiply", a, y);
  map("multiply", a, b, y, accumulate, true, [](float p, float q) { return p * q; });
}

void scale(Stream, double factor, View x, View y) {
  check_pointwise("scale", x, y);
  map("scale", x, x, y, false, true, [f = float(factor)](float v, float) { return f * v; });
}

constexpr int64_t counters = 64;  // Philox counters drawn at a time

/// The factors (0 or 1 / (1 - p)) of elements [first, first + count), count at most 4 * counters.
/// Returns where in `mask` the first lies.
const float* draw_mask(const DropoutOptions& o, uint64_t stream, int64_t first, int64_t count,
                       float* mask) {
  const float kept = o.p < 1 ? float(1 / (1 - o.p)) : 0.f;
  // unit_float(word) >= p, as integers.
  const auto threshold = uint32_t(std::ceil(o.p * 0x1p24));
  const int64_t begin = first / 4, end = (first + count + 3) / 4;
#pragma omp simd
  for (int64_t i = 0; i < end - begin; ++i) {
    const auto words = philox(uint64_t(begin + i), o.seed, stream);
    for (size_t k = 0; k < 4; ++k)
      mask[i * 4 + int64_t(k)] = words[k] >> 8 >= threshold ? kept : 0.f;
  }
  return mask + first % 4;
}

template <class T>
void dropout_as(const DropoutOptions& o, uint64_t stream, const View& x, const View& y,
                bool accumulate) {
  const RowOffsets from(x), to(y);
  // A row of any length is cut into pieces, so that one long row keeps all cores busy too.
  constexpr int64_t piece = 4 * counters;
  const int64_t length = y.shape[-1], pieces = (length + piece - 1) / piece;
  const int64_t least = std::max<int64_t>(1, 1024 / std::min(length, piece));
  parallel_for(to.rows() * pieces, least, [&](int64_t begin, int64_t end) {
    std::array<float, piece + 8> mask;
    for (int64_t p = begin; p < end; ++p) {
      const int64_t row = p / pieces, left = p % pieces * piece;
      const int64_t count = std::min(piece, length - left);
      const float* factor = draw_mask(o, stream, row * length + left, count, mask.data());
      const T* in = data<const T>(x) + from(row) + left;
      T* out = data<T>(y) + to(row) + left;
      auto kept = [=](int64_t i) { return factor[i] == 0 ? 0 : in[i] * factor[i]; };
      if (accumulate) {
        for (int64_t i = 0; i < count; ++i) out[i] = T(out[i] + kept(i));
      } else {
        for (int64_t i = 0; i < count; ++i) out[i] = T(kept(i));
      }
      if (left + count == length) std::fill_n(out + count, y.tail, T(0));
    }
  });
}

void dropout(Stream, const DropoutOptions& o, View step, View x, View y, bool accumulate) {
  check_dropout(o, step, x, y);
  if (!y.size()) return;
  const uint64_t stream = stream_of_draw(o.call, uint64_t(*data<const int64_t>(step)), o.place);
  dispatch_activation("dropout", y.dtype,
                      [&]<class T>(T) { dropout_as<T>(o, stream, x, y, accumulate); });
}

}  // namespace

const Pointwise pointwise_cpu = {.forward = forward,
                                 .grad = grad,
                                 .add = add,
                                 .multiply = multiply,
                                 .scale = scale,
                                 .dropout = dropout};

}  // namespace kinema::kernels
