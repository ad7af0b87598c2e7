#include <dnnl.h>
#include <fmt/format.h>
#include <omp.h>
#include <cstdio>
#include <fstream>
#include <memory>
#include <thread>
#include "engine/ops/conv3d.h"
#include "engine/ops/copy.h"
#include "engine/policy.h"
#include "engine/random.h"
#include "engine/train/progress.h"
#include "operations.h"
#include "tools/base/command.h"
#include "tools/base/versions.h"

extern "C" {
#include <libavcodec/avcodec.h>
}

namespace kinema::tools {

namespace {

using nlohmann::json;

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

/// "works", or why not: a small convolution on the backend, held against the reference.
std::string probe(engine::Backend backend) {
  using namespace engine;
  try {
    const Tensor x = empty({1, 3, 5, 5, 3}), w = empty({8, 3, 3, 3, 3});
    fill_uniform(x, -1, 1, key_of(1, "x"));
    fill_uniform(w, -1, 1, key_of(1, "w"));
    auto run = [&](Backend b) {
      const bool host = b == Backend::reference || b == Backend::cpu;
      const Device device = host ? Device::cpu : Device::gpu;
      BackendScope scope(b, "conv3d");
      return to_vector<float>(conv3d(to_device(x, device), to_device(w, device)));
    };
    const std::vector<float> got = run(backend), want = run(Backend::reference);
    // Sums of 81 products below 1: rounding stays under 81 * 81 * 2^-24.
    for (size_t i = 0; i < got.size(); ++i)
      if (!(std::abs(got[i] - want[i]) < 4e-4f)) return "gives wrong results";
    return "works";
  } catch (const std::exception& e) {
    return "not in this build";
  }
}

json examine() {
  json backends = json::object();
  for (engine::Backend b : {engine::Backend::reference, engine::Backend::cpu, engine::Backend::cuda,
                            engine::Backend::cudnn, engine::Backend::emulated})
    backends[kernels::name_of(b)] = probe(b);
  auto has = [](const void* codec) { return codec ? "found" : "missing"; };
  return {{"cpu", processor()},
          {"cores", std::thread::hardware_concurrency()},
          {"threads", omp_get_max_threads()},
          {"built_for", built_for()},
          {"oneDNN_uses", dnnl_instructions()},
          {"memory_held", engine::train::memory_held()},
          {"versions", library_versions()},
          {"codecs",
           {{"H.264 decoder", has(avcodec_find_decoder(AV_CODEC_ID_H264))},
            {"MPEG-4 decoder", has(avcodec_find_decoder(AV_CODEC_ID_MPEG4))},
            {"H.264 encoder", has(avcodec_find_encoder_by_name("libx264"))}}},
          {"backends", backends},
          {"operations", operations}};
}

int doctor(bool as_json) {
  const json found = examine();
  if (as_json) {
    std::printf("%s\n", found.dump(2).c_str());
  } else {
    for (const auto& [key, value] : found.items()) {
      if (!value.is_object()) {
        std::printf("%-17s%s\n", key.c_str(),
                    value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
        continue;
      }
      std::printf("%s\n", key.c_str());
      for (const auto& [name, what] : value.items())
        std::printf("  %-15s%s\n", name.c_str(), what.get<std::string>().c_str());
    }
  }
  const json& backends = found["backends"];
  return backends["reference"] == "works" && backends["cpu"] == "works" ? 0 : 1;
}

std::function<int()> define(Options& options) {
  auto as_json = std::make_shared<bool>(false);
  options.add_flag("--json", *as_json, "print JSON");
  return [as_json] { return doctor(*as_json); };
}

}  // namespace

extern const Command doctor_command;
const Command doctor_command = {"doctor", "what this machine has and which backends work", define};

}  // namespace kinema::tools
