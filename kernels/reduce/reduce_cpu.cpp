// Bound by memory: forward reads x once, broadcast writes dx once.
#include <algorithm>
#include <vector>
#include "kernels/base/parallel.h"
#include "kernels/reduce/reduce.h"

namespace kinema::kernels {

namespace {

constexpr int64_t chunk = 16384;  // elements of x that one partial sum covers

/// x seen as [groups, rows, C]: the leading axes that stay, and those that are summed.
struct Split {
  RowOffsets groups, rows;
  Split(const ReduceOptions& o, const View& x)
      : groups(leading(o, x, false)), rows(leading(o, x, true)) {}

  static View leading(const ReduceOptions& o, const View& x, bool reduced) {
    View v = x;
    for (int a = 0; a < x.shape.rank - 1; ++a)
      if (o.axes[size_t(a)] != reduced) v.shape[a] = 1;
    return v;
  }
};

template <class T>
double row_sum(const T* x, int64_t length) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < length; ++c) sum += double(x[c]);
  return sum;
}

/// sum[c] += x[row, c] over rows [first, last). Four rows at a time, so that the sums are loaded
/// and stored a quarter as often.
template <class T>
void add_rows(const T* x, const RowOffsets& rows, int64_t first, int64_t last, int64_t length,
              double* sum) {
  int64_t r = first;
  for (; r + 4 <= last; r += 4) {
    const T *a = x + rows(r), *b = x + rows(r + 1), *c = x + rows(r + 2), *d = x + rows(r + 3);
#pragma omp simd
    for (int64_t i = 0; i < length; ++i)
      sum[i] += (double(a[i]) + double(b[i])) + (double(c[i]) + double(d[i]));
  }
  for (; r < last; ++r) {
    const T* a = x + rows(r);
#pragma omp simd
    for (int64_t i = 0; i < length; ++i) sum[i] += double(a[i]);
  }
}

/// to[i] = sums[i] * scale, or += with `accumulate`; then the zero lanes.
template <class Y>
void store(const double* sums, double scale, int64_t width, bool accumulate, int64_t tail, Y* to) {
  for (int64_t i = 0; i < width; ++i) to[i] = Y((accumulate ? double(to[i]) : 0) + scale * sums[i]);
  std::fill_n(to + width, tail, Y(0));
}

/// Every group is cut into pieces of whole rows by its shape alone; each piece is summed by one
/// core, and the pieces are added in order: the same bits for any number of cores.
template <class T>
void forward_as(const ReduceOptions& o, const View& x, const View& y, bool accumulate) {
  const Split split(o, x);
  const RowOffsets to(y);
  const int64_t length = x.shape[-1], width = y.shape[-1];
  const int64_t groups = split.groups.rows(), rows = length ? split.rows.rows() : 0;
  const bool whole_rows = o.axes[size_t(x.shape.rank - 1)];
  const int64_t height = std::max<int64_t>(1, chunk / std::max<int64_t>(1, length));
  const int64_t pieces = std::max<int64_t>(1, (rows + height - 1) / height);
  std::vector<double> partial(static_cast<size_t>(groups * pieces * width));
  const int64_t grain = std::max<int64_t>(1, chunk / std::max<int64_t>(1, rows * length / pieces));
  parallel_for(groups * pieces, grain, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* from = data<const T>(x) + split.groups(p / pieces);
      const int64_t first = p % pieces * height, last = std::min(rows, first + height);
      double* sum = partial.data() + p * width;
      if (!whole_rows) add_rows(from, split.rows, first, last, length, sum);
      for (int64_t r = first; whole_rows && r < last; ++r)
        *sum += row_sum(from + split.rows(r), length);
    }
  });
  for (int64_t g = 0; g < groups; ++g) {
    double* sum = partial.data() + g * pieces * width;
    for (int64_t p = 1; p < pieces; ++p)
      for (int64_t i = 0; i < width; ++i) sum[i] += sum[p * width + i];
    if (y.dtype == Dtype::f32) {
      store(sum, o.scale, width, accumulate, y.tail, data<float>(y) + to(g));
    } else {
      store(sum, o.scale, width, accumulate, y.tail, data<T>(y) + to(g));
    }
  }
}

void forward(Stream, const ReduceOptions& o, View x, View y, bool accumulate) {
  check_reduce(o, x, y);
  if (!y.size()) return;
  dispatch_activation("reduce", x.dtype, [&]<class T>(T) { forward_as<T>(o, x, y, accumulate); });
}

/// to[i] = value(i), or += with `accumulate`.
template <class T, class Value>
void put(T* to, int64_t length, bool accumulate, Value value) {
  if (accumulate) {
    for (int64_t i = 0; i < length; ++i) to[i] = T(to[i] + value(i));
  } else {
    for (int64_t i = 0; i < length; ++i) to[i] = T(value(i));
  }
}

template <class T, class Y>
void broadcast_as(const ReduceOptions& o, const View& dy, const View& dx, bool accumulate) {
  const int64_t length = dx.shape[-1];
  const float scale = float(o.scale);
  const bool whole_rows = o.axes[size_t(dx.shape.rank - 1)];
  View spread = dy;  // dy under the shape of dx: reduced axes have stride 0
  for (int a = 0; a < dx.shape.rank - 1; ++a) {
    spread.shape[a] = dx.shape[a];
    if (dy.shape[a] == 1) spread.strides[size_t(a)] = 0;
  }
  const RowOffsets from(spread), to(dx);
  const int64_t grain = std::max<int64_t>(1, chunk / length);
  parallel_for(to.rows(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const Y* in = data<const Y>(dy) + from(r);
      T* out = data<T>(dx) + to(r);
      if (whole_rows) {
        put(out, length, accumulate, [value = scale * in[0]](int64_t) { return value; });
      } else {
        put(out, length, accumulate, [=](int64_t i) { return scale * in[i]; });
      }
      std::fill_n(out + length, dx.tail, T(0));
    }
  });
}

void broadcast(Stream, const ReduceOptions& o, View dy, View dx, bool accumulate) {
  check_reduce(o, dx, dy);
  if (!dx.size()) return;
  dispatch_activation("reduce", dx.dtype, [&]<class T>(T) {
    if (dy.dtype == Dtype::f32) return broadcast_as<T, float>(o, dy, dx, accumulate);
    broadcast_as<T, T>(o, dy, dx, accumulate);
  });
}

template <class T>
double squared_norm_as(const View& x) {
  const RowOffsets offset(x);
  const int64_t length = x.shape[-1], in_row = (length + chunk - 1) / chunk;
  const int64_t height = std::max<int64_t>(1, chunk / length);
  const int64_t blocks = (offset.rows() + height - 1) / height;
  std::vector<double> partial(static_cast<size_t>(blocks * in_row));
  parallel_for(blocks * in_row, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t first = p / in_row * height, last = std::min(offset.rows(), first + height);
      const int64_t left = p % in_row * chunk, right = std::min(length, left + chunk);
      double sum = 0;
      for (int64_t r = first; r < last; ++r) {
        const T* row = data<const T>(x) + offset(r);
#pragma omp simd reduction(+ : sum)
        for (int64_t i = left; i < right; ++i) sum += double(row[i]) * double(row[i]);
      }
      partial[size_t(p)] = sum;
    }
  });
  double total = 0;
  for (double part : partial) total += part;
  return total;
}

void squared_norm(Stream, View x, View y, bool accumulate) {
  check_number("squared_norm", "y", y, Dtype::f64);
  double& sum = *data<double>(y);
  if (!accumulate) sum = 0;
  if (!x.size()) return;
  sum += dispatch_activation("reduce", x.dtype, [&]<class T>(T) { return squared_norm_as<T>(x); });
}

}  // namespace

const Reduce reduce_cpu = {
    .forward = forward, .broadcast = broadcast, .squared_norm = squared_norm};

}  // namespace kinema::kernels
