#pragma once
#include <cstring>
#include "tests/support/device_check.h"
#include "tests/support/probe.h"

// What tests share that hold one wrapper of kernels/device/ against its documentation: the same
// program on a GPU and in emulation.

namespace kinema::test {

/// The constant that belongs to the run's backend.
template <class T>
const T& device_of(const DeviceRun& run, const T* cuda, const T* emulated) {
  const T* device = run.backend == Backend::cuda ? cuda : emulated;
  kernels::check(device, run.name, ": the test's device code is not linked");
  return *device;
}

/// True where the run's GPU has the instructions of sm_90.
inline bool has_sm90(const DeviceRun& run) {
  const std::shared_ptr<void> inside = run.enter();
  return run.runtime->gpu().compute_capability >= 90;
}

/// What `probe`, a Probe or the like, makes of `in`: `count` elements, all bits set beforehand.
template <class Out, class In, class F>
std::vector<Out> probed(const DeviceRun& run, const F& probe, const std::vector<In>& in,
                        size_t count) {
  const std::shared_ptr<void> inside = run.enter();
  const Stream stream{};
  std::vector<Out> out(count);
  std::memset(static_cast<void*>(out.data()), 0xff, count * sizeof(Out));
  const auto in_bytes = int64_t(in.size() * sizeof(In)), out_bytes = int64_t(count * sizeof(Out));
  const std::shared_ptr<void> source(run.runtime->allocate(in_bytes), run.runtime->release);
  const std::shared_ptr<void> target(run.runtime->allocate(out_bytes), run.runtime->release);
  if (in_bytes) run.runtime->upload(stream, in.data(), source.get(), in_bytes);
  run.runtime->upload(stream, out.data(), target.get(), out_bytes);
  probe(stream, source.get(), target.get());
  run.runtime->synchronize(stream);
  run.runtime->download(stream, target.get(), out.data(), out_bytes);
  return out;
}

}  // namespace kinema::test
