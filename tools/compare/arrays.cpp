#include "tools/compare/arrays.h"
#include <cmath>
#include <cstring>
#include <limits>
#include "kernels/base/parallel.h"

namespace kinema::tools::compare {

using kernels::dispatch_any, kernels::RowOffsets;

namespace {

constexpr int64_t rows_a_thread = 256;

/// Number `i` of a sequence, uniform in [0, 1). Source: Steele et al., Fast splittable pseudorandom
/// number generators, OOPSLA 2014: SplitMix64, whose i-th number needs no others.
double uniform(uint64_t seed, uint64_t i) {
  uint64_t z = (seed * 0x100000001b3u + i + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return double((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/// f(element offset, number of the row's first element) for each row, on all cores.
template <class F>
void each_row(const View& v, const F& f) {
  if (!v.size()) return;
  const RowOffsets offset(v);
  kernels::parallel_for(offset.rows(), rows_a_thread, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(offset(r), r * v.shape[-1]);
  });
}

/// Sets element i, in order, to value(i), and zero lanes to 0.
template <class F>
void set(const View& v, const F& value) {
  dispatch_any(v.dtype, [&]<class T>(T) {
    each_row(v, [&](int64_t at, int64_t first) {
      T* row = kernels::data<T>(v) + at;
      for (int64_t c = 0; c < v.shape[-1]; ++c) row[c] = T(value(first + c));
      std::fill_n(row + v.shape[-1], v.tail, T(0));
    });
  });
}

void fill(const Operand& o, uint64_t seed, const View& v) {
  if (o.value) return set(v, o.value);
  set(v, [&](int64_t i) { return o.low + (o.high - o.low) * uniform(seed, uint64_t(i)); });
}

View dense_layout(Dtype dtype, const Shape& shape) {
  View v{.dtype = dtype, .shape = shape};
  for (int64_t stride = 1, a = shape.rank - 1; a >= 0; stride *= shape[int(a--)])
    v.strides[size_t(a)] = stride;
  return v;
}

}  // namespace

Array::Array(const View& layout)
    : view(layout),
      memory(std::make_shared<std::vector<char>>(
          size_t(span(layout) * kernels::size_of(layout.dtype)), char(0xff))) {
  view.data = memory->data();
}

Array Array::clone() const {
  Array copy = *this;
  copy.memory = std::make_shared<std::vector<char>>(*memory);
  copy.view.data = copy.memory->data();
  return copy;
}

View layout_of(const Operand& o, Backend b) {
  return b == Backend::cudnn ? dense_layout(o.dtype, o.shape)
                             : kernels::fresh_layout(o.dtype, o.shape);
}

std::vector<Array> operands_of(const Trial& t, Backend b) {
  std::vector<Array> all;
  for (const Operand& o : t.operands) {
    all.emplace_back(layout_of(o, b));
    // What no row reaches, pixels behind a row of frames say, is zero in fresh tensors.
    if (o.role == Operand::Role::output) continue;
    std::fill(all.back().memory->begin(), all.back().memory->end(), char(0));
    fill(o, all.size(), all.back().view);
  }
  return all;
}

Array widened(const Array& a) {
  if (!kernels::is_float(a.view.dtype)) return a.clone();
  Array wide(kernels::fresh_layout(Dtype::f64, a.view.shape));
  const int64_t channels = a.view.shape.rank ? a.view.shape[-1] : 1;
  const RowOffsets offset(a.view);
  dispatch_any(a.view.dtype, [&]<class T>(T) {
    const T* from = kernels::data<const T>(a.view);
    set(wide.view, [&](int64_t i) { return double(from[offset(i / channels) + i % channels]); });
  });
  return wide;
}

double error_of(const View& got, const View& wanted) {
  kernels::check(got.shape == wanted.shape, "compare: shapes differ");
  if (!got.size()) return 0;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const RowOffsets g(got), w(wanted);
  double worst = 0, largest = 0;
  dispatch_any(got.dtype, [&]<class A>(A) {
    dispatch_any(wanted.dtype, [&]<class B>(B) {
      for (int64_t r = 0; r < g.rows(); ++r)
        for (int64_t c = 0; c < got.shape[-1]; ++c) {
          const auto a = double(kernels::data<const A>(got)[g(r) + c]),
                     b = double(kernels::data<const B>(wanted)[w(r) + c]);
          if (std::isfinite(b)) largest = std::max(largest, std::abs(b));
          if (a == b || (std::isnan(a) && std::isnan(b))) continue;
          const double gap = std::abs(a - b);
          worst = std::max(worst, std::isfinite(gap) ? gap : infinity);
        }
    });
  });
  return worst == 0 ? 0 : worst / std::max(largest, 1e-30);
}

const kernels::Runtime* runtime_of(Backend b) {
  const bool gpu = b == Backend::cuda || b == Backend::cudnn;
  return gpu                      ? &kernels::runtime_cuda
         : b == Backend::emulated ? &kernels::runtime_emulated
                                  : nullptr;
}

Tensors::Tensors(const std::vector<Array>& arrays, Backend b) : runtime_(runtime_of(b)) {
  for (const Array& a : arrays) {
    host_.push_back(runtime_ ? a : a.clone());  // on a device a layout for download()
    views_.push_back(host_.back().view);
    if (!runtime_) continue;
    const auto bytes = int64_t(a.memory->size());
    device_.emplace_back(runtime_->allocate(bytes), runtime_->release);
    if (bytes) runtime_->upload({}, a.memory->data(), device_.back().get(), bytes);
    views_.back().data = device_.back().get();
  }
}

std::vector<Array> Tensors::download() const {
  if (!runtime_) return host_;
  runtime_->synchronize({});
  std::vector<Array> found;
  for (size_t i = 0; i < host_.size(); ++i) {
    found.push_back(host_[i].clone());
    const auto bytes = int64_t(found[i].memory->size());
    if (bytes) runtime_->download({}, device_[i].get(), found[i].memory->data(), bytes);
  }
  return found;
}

}  // namespace kinema::tools::compare
