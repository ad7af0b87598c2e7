#include <dnnl.h>
#include <omp.h>
#include <cstdio>
#include <fstream>
#include <memory>
#include <thread>
#include "engine/train/progress.h"
#include "operations.h"
#include "tools/base/command.h"
#include "tools/base/probe.h"
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

json examine() {
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
          {"backends", probe_backends()},
          {"gpu", examine_gpu()},
          {"libraries", examine_libraries()},
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
