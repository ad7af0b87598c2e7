#include "tools/base/probe.h"
#include <fmt/format.h>
#include <cmath>
#include <fstream>
#include <vector>
#include "engine/gpu.h"
#include "engine/ops/conv3d.h"
#include "engine/ops/copy.h"
#include "engine/policy.h"
#include "engine/random.h"
#include "kernels/cudnn/nvidia_libraries.h"
#include "tools/base/device_settings.h"

namespace kinema::tools {

using namespace engine;
using nlohmann::json;

namespace {

std::vector<float> convolve(Backend backend, Device device) {
  const Tensor x = empty({1, 3, 5, 5, 3}, Dtype::f32, Device::cpu);
  const Tensor w = empty({8, 3, 3, 3, 3}, Dtype::f32, Device::cpu);
  fill_uniform(x, -1, 1, key_of(1, "x"));
  fill_uniform(w, -1, 1, key_of(1, "w"));
  const BackendScope scope(backend, "conv3d");
  return to_vector<float>(conv3d(to_device(x, device), to_device(w, device)));
}

std::string probe(Backend backend, Device device) {
  try {
    const std::vector<float> got = convolve(backend, device);
    const std::vector<float> want = convolve(Backend::reference, Device::cpu);
    // Sums of 81 products below 1: rounding stays under 81 * 81 * 2^-24.
    for (size_t i = 0; i < got.size(); ++i)
      if (!(std::abs(got[i] - want[i]) < 4e-4f)) return "gives wrong results";
    return "works";
  } catch (const std::exception& e) {
    return e.what();
  }
}

/// Of the driver, as it says itself; empty where there is none.
std::string driver_version() {
  std::ifstream in("/sys/module/nvidia/version");
  std::string version;
  std::getline(in, version);
  return version;
}

}  // namespace

json probe_backends() {
  json all;
  for (Backend b : {Backend::reference, Backend::cpu})
    all[kernels::name_of(b)] = probe(b, Device::cpu);
  // A process has one GPU, so that its emulation is tried where there is no other.
  const std::string missing = missing_gpu();
  const bool gpu = missing.empty();
  use_gpu(gpu ? kernels::runtime_cuda : kernels::runtime_emulated,
          gpu ? Backend::cuda : Backend::emulated);
  for (Backend b : {Backend::cuda, Backend::cudnn})
    all[kernels::name_of(b)] = gpu ? probe(b, Device::gpu) : missing;
  all["emulated"] = gpu ? "not tried: a GPU is in use" : probe(Backend::emulated, Device::gpu);
  return all;
}

json examine_gpu() {
  const std::string missing = missing_gpu();
  if (!missing.empty()) return "none: " + missing;
  const kernels::Runtime& runtime = kernels::runtime_cuda;
  const kernels::Gpu& gpu = runtime.gpu();
  const kernels::DeviceMemory memory = runtime.memory();
  return {{"name", gpu.name},
          {"GPUs", std::to_string(runtime.devices())},
          {"capability",
           fmt::format("{}.{}", gpu.compute_capability / 10, gpu.compute_capability % 10)},
          {"processors", std::to_string(gpu.multiprocessors)},
          {"memory", fmt::format("{} of {} MiB free", memory.free >> 20, memory.total >> 20)},
          {"driver", driver_version()}};
}

json examine_libraries() {
  if (!&kernels::nvidia_libraries) return "none: this build has no cuDNN and cuBLASLt";
  json all;
  for (const kernels::NvidiaLibrary& l : kernels::nvidia_libraries()) {
    std::string text = l.missing.empty() ? l.version + " (" + l.path + ")" : l.missing;
    if (!l.warning.empty()) text += "; warning: " + l.warning;
    all[l.name] = text;
  }
  return all;
}

}  // namespace kinema::tools
