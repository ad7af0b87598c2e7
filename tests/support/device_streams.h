#pragma once
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>
#include "tests/runtime_device_test.h"
#include "tests/support/device_check.h"

namespace kinema::test {

/// What tests of streams work with, all of it dropped at their end.
class Streams {
 public:
  explicit Streams(const DeviceRun& run)
      : runtime(*run.runtime),
        kernels(run.backend == Backend::cuda ? runtime_kernels_cuda : runtime_kernels_emulated),
        inside_(run.enter()) {}
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;
  ~Streams() {
    for (Stream s : streams_) runtime.drop_stream(s);
    for (kernels::Event e : events_) runtime.drop_event(e);
    for (void* memory : floats_) runtime.release(memory);
    for (void* memory : pinned_) runtime.release_pinned(memory);
  }

  Stream stream() { return streams_.emplace_back(runtime.make_stream()); }
  kernels::Event event() { return events_.emplace_back(runtime.make_event()); }
  /// `count` floats of the device, each `value`.
  float* floats(float value) {
    auto* memory =
        static_cast<float*>(floats_.emplace_back(runtime.allocate(count * int64_t(sizeof(float)))));
    set(memory, value);
    return memory;
  }
  float* pinned(float value) {
    auto* memory = static_cast<float*>(
        pinned_.emplace_back(runtime.allocate_pinned(count * int64_t(sizeof(float)))));
    std::fill_n(memory, count, value);
    return memory;
  }
  /// Without regard to any stream.
  void set(float* memory, float value) {
    const std::vector<float> host(size_t(count), value);
    runtime.upload({}, host.data(), memory, bytes);
  }
  /// What all floats at `memory` are, as `stream` sees them when it is done; NaN if they differ.
  float value(Stream stream, const float* memory) {
    std::vector<float> host(size_t(count), 0);
    runtime.download(stream, memory, host.data(), bytes);
    const bool equal = std::all_of(host.begin(), host.end(), [&](float f) { return f == host[0]; });
    return equal ? host[0] : std::nanf("");
  }

  static constexpr int64_t count = 1000, bytes = count * int64_t(sizeof(float));
  const kernels::Runtime& runtime;
  const RuntimeKernels& kernels;

 private:
  std::shared_ptr<void> inside_;
  std::vector<Stream> streams_;
  std::vector<kernels::Event> events_;
  std::vector<void*> floats_, pinned_;
};

}  // namespace kinema::test
