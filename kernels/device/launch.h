#pragma once
#include <algorithm>
#include <memory>
#include <tuple>
#include <utility>
#include "kernels/base/backend.h"
#include "kernels/base/error.h"
#include "kernels/base/gpu.h"
#include "kernels/device/twin.h"

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// How many blocks of how many threads, and what each block gets.
struct Geometry {
  dim3 grid;
  dim3 block;
  int64_t shared_bytes = 0;  ///< dynamic shared memory a block
  dim3 cluster = {1, 1, 1};  ///< blocks that run together and see each other's shared memory
  bool cooperative = false;  ///< all blocks of the grid run at once: they may wait for each other
};

/// The current device.
const Gpu& gpu();

/// Blocks of `threads` for `work` items, one a thread and round: no more than keep the device busy,
/// the rest is done by grid-stride loops. 1 where there is no work.
inline dim3 blocks_for(int64_t work, int threads) {
  const int64_t full = int64_t(gpu().multiprocessors) * gpu().threads_per_multiprocessor / threads;
  return dim3(unsigned(std::clamp<int64_t>((work + threads - 1) / threads, 1, full)));
}

/// Memory for one pass, in the order of the stream, from the thread's MemorySource; in emulation
/// exactly as large, full of NaN.
class Workspace {
 public:
  Workspace(Stream stream, int64_t bytes);
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  template <class T = void>
  T* data() const {
    return static_cast<T*>(memory_);
  }

 private:
  Stream stream_;
  int64_t bytes_;
  void* memory_;
};
/// Sets `bytes` bytes of device memory to 0, in the order of the stream.
void clear(Stream stream, void* memory, int64_t bytes);
/// Copies from the device, and waits.
void read_back(Stream stream, const void* device, void* host, int64_t bytes);

#if KERNELS_CUDA

/// Throws Error, naming `name`, if `status` is one.
void check_cuda(cudaError_t status, const char* name);
void start(const char* name, const void* kernel, const Geometry&, Stream, void** arguments);

#else

/// A kernel and its arguments, of which each thread takes a copy; `keep` copies both for a stream
/// that runs them later.
struct Body {
  void (*run)(const void* context);
  const void* context;
  std::shared_ptr<const void> (*keep)(const void* context);
};
void start(const char* name, const void* kernel, const Geometry&, Stream, const Body&);

#endif

/// Runs `kernel` in the order of the stream. `name` is operation.pass, for errors and profiles.
/// Errors: a launch that the device refuses; with KINEMA_SYNC=1 also what goes wrong while it runs.
template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), const Geometry& geometry, Stream stream,
            A&&... arguments) {
  std::tuple<std::decay_t<P>...> values(std::forward<A>(arguments)...);
#if KERNELS_CUDA
  std::apply(
      [&](auto&... value) {
        void* pointers[] = {const_cast<void*>(static_cast<const void*>(&value))..., nullptr};
        start(name, reinterpret_cast<const void*>(kernel), geometry, stream, pointers);
      },
      values);
#else
  struct Context {
    void (*kernel)(P...);
    std::tuple<std::decay_t<P>...> values;
  };
  const Context context{kernel, std::move(values)};
  const auto run = [](const void* c) {
    const auto* call = static_cast<const Context*>(c);
    std::apply([&](const auto&... value) { call->kernel(value...); }, call->values);
  };
  const auto keep = [](const void* c) -> std::shared_ptr<const void> {
    return std::make_shared<const Context>(*static_cast<const Context*>(c));
  };
  start(name, reinterpret_cast<const void*>(kernel), geometry, stream, {run, &context, keep});
#endif
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
