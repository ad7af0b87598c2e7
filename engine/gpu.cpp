#include "engine/gpu.h"
#include <utility>
#include "engine/profiled_range.h"

namespace kinema::engine {

namespace {

struct Gpu {
  const kernels::Runtime* runtime = nullptr;
  Backend backend = Backend::cuda;
  int index = 0;
  Stream stream;
};
Gpu gpu;  // set once, before other threads ask for it

thread_local bool chosen = false;
thread_local Stream stream_now;  // null: the process's own

}  // namespace

void use_gpu(const kernels::Runtime& runtime, Backend backend, int index) {
  if (gpu.runtime) {
    check(gpu.runtime == &runtime && gpu.backend == backend && gpu.index == index,
          "gpu: this process uses GPU ", gpu.index, " by ", gpu.backend, " already, got GPU ",
          index, " by ", backend, "; start another process");
    return;
  }
  const int devices = runtime.devices();
  check(devices > 0, "gpu: no GPU can be used: ", runtime.missing());
  check(index >= 0 && index < devices, "gpu: there is no GPU ", index, "; this machine has ",
        devices, ", counted from 0");
  runtime.choose(index);
  gpu = {&runtime, backend, index, runtime.make_stream()};
  chosen = true;
}

bool has_gpu() { return gpu.runtime != nullptr; }

const kernels::Runtime& gpu_runtime() {
  check(has_gpu(), "gpu: a tensor on Device::gpu was asked for, but no GPU is in use");
  if (!std::exchange(chosen, true)) gpu.runtime->choose(gpu.index);
  return *gpu.runtime;
}

Backend gpu_backend() {
  check(has_gpu(), "gpu: an operation on Device::gpu was asked for, but no GPU is in use");
  return gpu.backend;
}

Stream current_stream() { return stream_now.handle ? stream_now : gpu.stream; }
StreamScope::StreamScope(Stream stream) : before_(std::exchange(stream_now, stream)) {}
StreamScope::~StreamScope() { stream_now = before_; }

ProfiledRange::ProfiledRange(const std::string& name) : open_(has_gpu() && !name.empty()) {
  if (open_) gpu_runtime().begin_range(name.c_str());
}
ProfiledRange::~ProfiledRange() {
  if (open_) gpu_runtime().end_range();
}

}  // namespace kinema::engine
