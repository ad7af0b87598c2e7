#include "tests/support/device_check.h"
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <random>

namespace kinema::test {

namespace {

using kernels::data, kernels::dispatch_any, kernels::RowOffsets;

constexpr char mark = 0x5c;

/// How a tensor of this shape lies in the one that it is a part of.
struct Placement {
  View part;
  int64_t first = 0, span = 0;  ///< elements: where the part begins; what the whole takes
};
Placement place(const Shape& shape, Dtype dtype, Layout layout) {
  Shape wide = shape;
  const int axes = shape.rank == 5 ? 2 : shape.rank - 1;
  const int64_t front = layout == Layout::odd_slice ? 3 : layout == Layout::slice ? 8 : 0;
  if (front) wide[-1] += 2 * front - 1;
  if (layout == Layout::strided)
    for (int a = 0; a < axes; ++a) wide[a] = 2 * shape[a] + 1;
  const View whole = fresh_layout(dtype, wide);
  Placement p{whole, front, span(whole)};
  p.part.shape = shape;
  if (front) p.part.tail = 0;
  if (layout != Layout::strided) return p;
  for (int a = 0; a < axes; ++a) {
    p.part.strides[size_t(a)] *= 2;
    p.first += whole.stride(a);
  }
  return p;
}

/// f(element offset from the view's first, count) for each run of elements, rows in order.
template <class F>
void each_row(const View& v, F f) {
  if (!v.size()) return;
  const RowOffsets offset(v);
  for (int64_t r = 0; r < offset.rows(); ++r) f(offset(r), v.shape[-1]);
}

/// Which bytes of the memory are the view's own: 1 elements, 2 zero lanes, 0 not its own.
std::vector<char> owners(const Array& a) {
  std::vector<char> own(a.memory->size(), 0);
  const int64_t size = size_of(a.view.dtype);
  each_row(a.view, [&](int64_t at, int64_t count) {
    char* row = own.data() + a.offset + at * size;
    std::fill_n(row, count * size, char(1));
    std::fill_n(row + count * size, a.view.tail * size, char(2));
  });
  return own;
}

/// What is wrong outside of the elements: "" if nothing.
std::string stray_write(const Array& before, const Array& after) {
  const std::vector<char> own = owners(after);
  for (size_t i = 0; i < own.size(); ++i) {
    if (own[i] == 2 && (*after.memory)[i] != 0)
      return "a zero lane holds something at byte " + std::to_string(i);
    if (own[i] == 0 && (*after.memory)[i] != (*before.memory)[i])
      return "byte " + std::to_string(i) + " beside the tensor has changed";
  }
  return "";
}

}  // namespace

double epsilon_of(Dtype d) {
  if (d == Dtype::bf16) return 0x1p-7;
  if (d == Dtype::f16) return 0x1p-10;
  return d == Dtype::f32 ? 0x1p-23 : 0x1p-52;
}

Array::Array(const Shape& shape, Dtype dtype, Layout layout) {
  const Placement p = place(shape, dtype, layout);
  memory = std::make_shared<std::vector<char>>(size_t(p.span * size_of(dtype)), mark);
  offset = memory->empty() ? 0 : p.first * size_of(dtype);
  view = p.part;
  view.data = memory->data() + offset;
  const std::vector<char> own = owners(*this);
  for (size_t i = 0; i < own.size(); ++i)
    if (own[i]) (*memory)[i] = char(0xff);
}

Array Array::clone() const {
  Array copy = *this;
  copy.memory = std::make_shared<std::vector<char>>(*memory);
  copy.view.data = copy.memory->data() + offset;
  return copy;
}

std::vector<double> Array::values() const {
  std::vector<double> all;
  dispatch_any(view.dtype, [&]<class T>(T) {
    each_row(view, [&](int64_t at, int64_t count) {
      for (int64_t i = 0; i < count; ++i) all.push_back(double(data<T>(view)[at + i]));
    });
  });
  return all;
}

void Array::set(const std::vector<double>& values) {
  kernels::check(int64_t(values.size()) == view.size(), "array: expected ", view.size(),
                 " values, got ", values.size());
  size_t next = 0;
  dispatch_any(view.dtype, [&]<class T>(T) {
    each_row(view, [&](int64_t at, int64_t count) {
      for (int64_t i = 0; i < count; ++i) data<T>(view)[at + i] = T(values[next++]);
      std::fill_n(data<T>(view) + at + count, view.tail, T(0));
    });
  });
}

Array random_array(const Shape& shape, Dtype dtype, uint64_t seed, double low, double high,
                   Layout layout) {
  std::mt19937_64 source(seed);
  std::vector<double> values(size_t(shape.size()));
  for (double& v : values) v = low + (high - low) * double(source() >> 11) * 0x1p-53;
  return filled_array(shape, dtype, values, layout);
}

Array filled_array(const Shape& shape, Dtype dtype, const std::vector<double>& values,
                   Layout layout) {
  Array a(shape, dtype, layout);
  a.set(values);
  return a;
}

double error(const Array& a, const Array& b) {
  const std::vector<double> va = a.values(), vb = b.values();
  if (va.size() != vb.size()) return std::numeric_limits<double>::infinity();
  double worst = 0, scale = 0;
  for (size_t i = 0; i < va.size(); ++i) {
    if (std::isnan(va[i]) && std::isnan(vb[i])) continue;
    if (va[i] == vb[i]) {
      if (std::isfinite(vb[i])) scale = std::max(scale, std::abs(vb[i]));
      continue;
    }
    const double gap = std::abs(va[i] - vb[i]);
    if (!std::isfinite(gap)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, gap);
    scale = std::max(scale, std::abs(vb[i]));
  }
  return worst == 0 ? 0 : worst / std::max(scale, 1e-30);
}

std::vector<Array> on_device(const DeviceRun& run, const std::vector<Array>& arrays,
                             const Pass& pass) {
  const std::shared_ptr<void> inside = run.enter();
  const Stream stream{};
  std::vector<std::shared_ptr<void>> memory;
  std::vector<View> views;
  for (const Array& a : arrays) {
    const auto bytes = int64_t(a.memory->size());
    memory.emplace_back(run.runtime->allocate(bytes), run.runtime->release);
    if (bytes) run.runtime->upload(stream, a.memory->data(), memory.back().get(), bytes);
    views.push_back(a.view);
    views.back().data = static_cast<char*>(memory.back().get()) + a.offset;
  }
  pass(stream, views);
  run.runtime->synchronize(stream);
  std::vector<Array> results;
  for (size_t i = 0; i < arrays.size(); ++i) {
    results.push_back(arrays[i].clone());
    const auto bytes = int64_t(results.back().memory->size());
    if (bytes) run.runtime->download(stream, memory[i].get(), results.back().memory->data(), bytes);
  }
  return results;
}

std::vector<Array> on_host(const std::vector<Array>& arrays, const Pass& pass) {
  std::vector<Array> copies;
  std::vector<View> views;
  for (const Array& a : arrays) {
    copies.push_back(a.clone());
    views.push_back(copies.back().view);
  }
  pass(Stream{}, views);
  return copies;
}

std::vector<DeviceRun> every_run_twice() {
  std::vector<DeviceRun> runs;
  for (const DeviceRun& run : device_runs())
    for (int again = 0; again < (small() ? 1 : 2); ++again) runs.push_back(run);
  return runs;
}

void expect_matches(const std::vector<Array>& arrays, const Pass& reference,
                    const std::function<Pass(const DeviceRun&)>& device,
                    const std::vector<double>& bounds, const std::string& what,
                    const std::vector<DeviceRun>& runs) {
  kernels::check(bounds.size() == arrays.size(), what, ": expected a bound for each of ",
                 arrays.size(), " arrays, got ", bounds.size());
  const std::vector<Array> wanted = on_host(arrays, reference);
  std::map<std::string, std::vector<Array>> first;
  for (const DeviceRun& run : runs) {
    const std::vector<Array> got = on_device(run, arrays, device(run));
    const bool known = first.count(run.group) > 0;
    for (size_t i = 0; i < arrays.size(); ++i) {
      const std::string which = what + ", array " + std::to_string(i) + " on " + run.name;
      if (bounds[i] == input) {
        EXPECT_TRUE(*got[i].memory == *arrays[i].memory) << which << ": an input has changed";
        continue;
      }
      const Dtype type = got[i].view.dtype;
      const double bound = bounds[i] + (kernels::is_narrow(type) ? epsilon_of(type) : 0);
      EXPECT_LE(error(got[i], wanted[i]), bound) << which;
      EXPECT_EQ(stray_write(arrays[i], got[i]), "") << which;
      EXPECT_TRUE(!known || *got[i].memory == *first[run.group][i].memory)
          << which << ": bits differ from those of another run";
    }
    if (!known) first.emplace(run.group, got);
  }
}

void expect_traffic(const std::vector<Array>& arrays, const Pass& pass, const Traffic& floor,
                    const std::string& what) {
  const auto moved = traffic([&] { on_device(device_runs().front(), arrays, pass); });
  if (!moved) return;
  const auto expect_near = [&](const char* verb, int64_t got, int64_t least) {
    EXPECT_GE(got, least - least / 10) << what << ": " << verb;
    EXPECT_LE(got, least + least / 10) << what << ": " << verb;
  };
  expect_near("bytes read", moved->read, floor.read);
  expect_near("bytes written", moved->written, floor.written);
}

std::string refusal_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const kernels::Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace kinema::test
