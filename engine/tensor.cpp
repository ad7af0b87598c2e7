#include "engine/tensor.h"
#include <algorithm>
#include <cstring>
#include <utility>
#include "engine/gpu.h"
#include "engine/ops/copy.h"

namespace kinema::engine {

namespace {

/// Bytes that pad each row of W pixels.
int64_t row_gap(const View& v) {
  if (v.shape.rank != 5) return 0;
  return (v.stride(2) - v.shape[3] * v.stride(3)) * kernels::size_of(v.dtype);
}

/// Zeroes what no element covers: lanes behind C, pixels behind W.
void zero_padding(const View& v) {
  const int64_t element = kernels::size_of(v.dtype);
  auto* base = static_cast<char*>(v.data);
  if (v.tail) {
    const kernels::RowOffsets offset(v);
    for (int64_t r = 0; r < offset.rows(); ++r)
      std::memset(base + (offset(r) + v.shape[-1]) * element, 0, size_t(v.tail * element));
  }
  const int64_t gap = row_gap(v);
  for (int64_t n = 0; gap > 0 && n < v.shape[0]; ++n)
    for (int64_t t = 0; t < v.shape[1]; ++t)
      for (int64_t h = 0; h < v.shape[2]; ++h)
        std::memset(base + (n * v.stride(0) + t * v.stride(1) + h * v.stride(2) +
                            v.shape[3] * v.stride(3)) *
                               element,
                    0, size_t(gap));
}

thread_local Device device_now = Device::cpu;
}  // namespace

Stream Tensor::stream() const { return device() == Device::gpu ? current_stream() : Stream{}; }

Device current_device() { return device_now; }
DeviceScope::DeviceScope(Device device) : before_(std::exchange(device_now, device)) {}
DeviceScope::~DeviceScope() { device_now = before_; }

Tensor empty(const Shape& shape, Dtype dtype, Device device) {
  Tensor t;
  t.layout = kernels::fresh_layout(dtype, shape);
  // Row padding of the last frame row belongs to the allocation, though span() ends before it.
  const int64_t elements = shape.rank && shape.size() ? shape[0] * t.layout.stride(0) : 0;
  t.storage = std::make_shared<Storage>(
      device, std::max(elements, kernels::span(t.layout)) * kernels::size_of(dtype));
  t.layout.data = t.storage->data();
  if (!shape.size()) return t;
  if (device == Device::cpu) zero_padding(t.layout);
  // Frames whose rows are no multiple of 16 bytes are rare: one pass over all of them will do.
  if (device == Device::gpu && row_gap(t.layout))
    gpu_runtime().clear(current_stream(), t.layout.data, t.storage->bytes());
  return t;
}

Tensor empty_pinned(const Shape& shape, Dtype dtype) {
  Tensor t = empty(shape, dtype, Device::meta);
  t.storage = std::make_shared<Storage>(Device::cpu, t.storage->bytes(), true);
  t.layout.data = t.storage->data();
  if (shape.size()) zero_padding(t.layout);
  return t;
}

Tensor full(const Shape& shape, double value, Dtype dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  fill(t, value);
  return t;
}

void zero_tail(const Tensor& t) {
  if (!t.layout.tail || t.device() == Device::meta) return;
  Tensor lanes = t.detach();
  lanes.layout.data =
      static_cast<char*>(lanes.layout.data) + t.shape(-1) * kernels::size_of(t.dtype());
  lanes.layout.shape[-1] = t.layout.tail;
  lanes.layout.tail = 0;
  fill(lanes, 0);
}

template <class T>
Tensor from_vector(const Shape& shape, const std::vector<T>& values, Device device) {
  check(int64_t(values.size()) == shape.size(), "from_vector: shape ", shape, " takes ",
        shape.size(), " values, got ", values.size());
  Tensor t = empty(shape, kernels::dtype_of<T>(), Device::cpu);
  const kernels::RowOffsets offset(t.layout);
  const int64_t row = shape.rank ? shape[-1] : 0;
  for (int64_t r = 0; row && r < offset.rows(); ++r)
    std::copy_n(values.data() + r * row, row, data<T>(t) + offset(r));
  return to_device(t, device);
}

template <class T>
std::vector<T> to_vector(const Tensor& t) {
  check(t.device() != Device::meta, "to_vector: a tensor on the meta device has no values");
  if (t.device() == Device::gpu) {
    const Tensor host = empty(t.shape(), t.dtype(), Device::cpu);
    copy(t, host);
    return to_vector<T>(host);
  }
  std::vector<T> values(static_cast<size_t>(t.size()));
  const kernels::RowOffsets offset(t.layout);
  const int64_t row = t.rank() ? t.shape(-1) : 0;
  for (int64_t r = 0; t.size() && r < offset.rows(); ++r)
    std::copy_n(data<T>(t) + offset(r), row, values.data() + r * row);
  return values;
}

template Tensor from_vector(const Shape&, const std::vector<float>&, Device);
template Tensor from_vector(const Shape&, const std::vector<double>&, Device);
template Tensor from_vector(const Shape&, const std::vector<uint8_t>&, Device);
template Tensor from_vector(const Shape&, const std::vector<int32_t>&, Device);
template Tensor from_vector(const Shape&, const std::vector<int64_t>&, Device);
template Tensor from_vector(const Shape&, const std::vector<kernels::bf16>&, Device);
template Tensor from_vector(const Shape&, const std::vector<kernels::f16>&, Device);
template std::vector<float> to_vector(const Tensor&);
template std::vector<double> to_vector(const Tensor&);
template std::vector<uint8_t> to_vector(const Tensor&);
template std::vector<int32_t> to_vector(const Tensor&);
template std::vector<int64_t> to_vector(const Tensor&);
template std::vector<kernels::bf16> to_vector(const Tensor&);
template std::vector<kernels::f16> to_vector(const Tensor&);

double item(const Tensor& t) {
  check(t.size() == 1, "item: expected one element, got ", t.shape());
  return kernels::dispatch_any(t.dtype(), [&]<class T>(T) { return double(to_vector<T>(t)[0]); });
}

}  // namespace kinema::engine
