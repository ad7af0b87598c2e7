#pragma once
#include "engine/tensor.h"
#include "kernels/base/runtime.h"

namespace kinema::engine {

/// Makes GPU number `index` of `runtime` the home of all tensors on Device::gpu, for the life of
/// the process: one process, one GPU. `backend` serves operations there unless a policy says
/// otherwise. To ask for the same again does nothing.
/// Errors: no GPU of this number, with what is missing; another one is in use already.
void use_gpu(const kernels::Runtime& runtime, Backend backend, int index = 0);
bool has_gpu();

/// What use_gpu() was given; the calling thread speaks to that GPU from here on.
/// Errors: use_gpu() was not called.
const kernels::Runtime& gpu_runtime();
Backend gpu_backend();

/// The queue in which operations of this thread on the GPU run: one stream for all threads, made by
/// use_gpu(), but inside of a StreamScope.
Stream current_stream();
class StreamScope {
 public:
  explicit StreamScope(Stream stream);
  ~StreamScope();
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  Stream before_;
};

/// As empty() on the CPU, in memory that the GPU reads by itself: for Runtime's upload_later and
/// download_later. Slow to make: meant to be kept.
Tensor empty_pinned(const Shape& shape, Dtype dtype = Dtype::f32);

}  // namespace kinema::engine
