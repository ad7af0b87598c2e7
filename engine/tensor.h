#pragma once
#include <memory>
#include <vector>
#include "engine/memory.h"
#include "kernels/base/backend.h"
#include "kernels/base/view.h"

namespace kinema::engine {

using kernels::Backend, kernels::Dtype, kernels::Error, kernels::Shape, kernels::Stream,
    kernels::View;
using kernels::check, kernels::fail;

struct Node;

/// Storage, a view into it, and a place on the tape (null for a constant). Copies share memory.
/// A default Tensor stands for "not given".
struct Tensor {
  StoragePtr storage;
  View layout;
  std::shared_ptr<Node> node;

  explicit operator bool() const { return storage != nullptr; }
  /// The view that kernels take; "not given" for a Tensor that is not given.
  View view() const { return layout; }
  const Shape& shape() const { return layout.shape; }
  int64_t shape(int axis) const { return layout.shape[axis]; }
  int64_t size() const { return layout.size(); }
  int rank() const { return layout.shape.rank; }
  Dtype dtype() const { return layout.dtype; }
  Device device() const { return storage->device(); }
  /// Where operations on it run: the thread's current stream on a GPU.
  Stream stream() const;

  /// The same memory off the tape. Rules capture this, so that no tape keeps another alive.
  Tensor detach() const { return {storage, layout, nullptr}; }
};

template <class T>
T* data(const Tensor& t) {
  return kernels::data<T>(t.layout);
}

/// The device of tensors that are made without naming one: cpu unless a DeviceScope says else.
Device current_device();
class DeviceScope {
 public:
  explicit DeviceScope(Device device);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  Device before_;
};

/// Fresh memory laid out by kernels::fresh_layout; elements are not set. Pixels that pad rows are
/// zero, and on the CPU lanes behind C too; on a GPU whoever writes rows of it must write those.
Tensor empty(const Shape& shape, Dtype dtype = Dtype::f32, Device device = current_device());
inline Tensor empty_like(const Tensor& t) { return empty(t.shape(), t.dtype(), t.device()); }

/// Fresh memory filled with `value`.
Tensor full(const Shape& shape, double value, Dtype dtype = Dtype::f32,
            Device device = current_device());

/// Sets the lanes behind C that t owns to zero: for whoever writes t through views that do not.
void zero_tail(const Tensor& t);

/// Element by element from row-major `values` (as many as the shape holds), and back. From and to a
/// GPU it waits.
template <class T>
Tensor from_vector(const Shape& shape, const std::vector<T>& values,
                   Device device = current_device());
template <class T>
std::vector<T> to_vector(const Tensor& t);

/// The one element of `t`; on a GPU it waits for it.
double item(const Tensor& t);

}  // namespace kinema::engine
