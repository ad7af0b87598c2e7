#include "tools/base/device_settings.h"
#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <sstream>
#include "engine/gpu.h"
#include "engine/io/text.h"
#include "engine/math_mode.h"
#include "engine/policy.h"
#include "kernels/conv3d/conv3d_plan_file.h"
#include "operations.h"

namespace kinema::tools {

namespace {

using engine::Backend, engine::Device;
using engine::io::suggestion;

/// A part of --backend: an operation ("" for all) and what serves it.
struct Choice {
  std::string op;
  Backend backend;
};

constexpr Backend choosable[] = {Backend::cuda, Backend::cudnn, Backend::emulated, Backend::cpu,
                                 Backend::reference};

bool on_host(Backend b) { return b == Backend::cpu || b == Backend::reference; }

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (Backend b : choosable) names.push_back(kernels::name_of(b));
  return names;
}

Backend backend_from(const std::string& name) {
  for (Backend b : choosable)
    if (name == kernels::name_of(b)) return b;
  throw UsageError("--backend: unknown backend '" + name + "'" + suggestion(name, backend_names()));
}

/// "cudnn,conv3d=cuda" in its parts.
std::vector<Choice> choices_of(const std::string& text) {
  const std::vector<std::string> known(std::begin(operations), std::end(operations));
  std::vector<Choice> all;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const size_t equals = part.find('=');
    const std::string op = equals == std::string::npos ? "" : part.substr(0, equals);
    usage(op.empty() || std::find(known.begin(), known.end(), op) != known.end(),
          "--backend: unknown operation '", op, "'", suggestion(op, known));
    all.push_back({op, backend_from(equals == std::string::npos ? part : part.substr(equals + 1))});
  }
  return all;
}

/// What --device says: a GPU's number, or that it is the CPU, or that nothing is said.
struct Place {
  enum { open, cpu, gpu } kind = open;
  int index = 0;
};

Place place_of(const std::string& name) {
  if (name == "auto") return {};
  if (name == "cpu") return {Place::cpu};
  if (name == "cuda") return {Place::gpu};
  Place p{Place::gpu};
  const char* end = name.data() + name.size();
  const bool number = name.starts_with("cuda:") && name.size() > 5 &&
                      std::from_chars(name.data() + 5, end, p.index).ptr == end && p.index >= 0;
  usage(number, "--device: expected auto, cpu, cuda or cuda:N (the GPU's number), got '", name,
        "'");
  return p;
}

std::string text_of(const std::string& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

void check_together(const Place& place, const std::vector<Choice>& choices) {
  const auto any = [&](auto which) {
    return std::any_of(choices.begin(), choices.end(),
                       [&](const Choice& c) { return which(c.backend); });
  };
  const bool emulated = any([](Backend b) { return b == Backend::emulated; });
  const bool cuda = any([](Backend b) { return b == Backend::cuda || b == Backend::cudnn; });
  const bool host = any(on_host);
  usage(!emulated || (place.kind == Place::open && !cuda && !host),
        "--backend emulated runs the GPU's kernels on the CPU: leave out --device and other "
        "backends");
  usage(
      !cuda || (place.kind != Place::cpu && !host),
      "--backend: cuda and cudnn run on a GPU, which neither --device cpu nor the backends cpu and "
      "reference do");
  usage(!host || place.kind != Place::gpu,
        "--backend: cpu and reference run on the CPU, which --device cuda does not");
}

}  // namespace

std::string missing_gpu() {
  if (!&kernels::runtime_cuda)
    return "this build has no CUDA kernels, for nvcc was not there when it was made";
  return kernels::runtime_cuda.devices() > 0 ? "" : kernels::runtime_cuda.missing();
}

Compute::~Compute() {
  while (!scopes_.empty()) scopes_.pop_back();
}

void DeviceSettings::declare(Options& options) {
  options.add("--device", device,
              "where to compute: auto (a GPU where there is one), cpu, cuda, cuda:N");
  options.add("--backend", backend,
              "by which kernels: cuda, cudnn, emulated (the GPU's kernels on the CPU), cpu, "
              "reference; OPERATION=BACKEND for one operation; several by commas");
  options.add("--conv3d-plans", conv3d_plans,
              "file that overrides how the GPU's kernels share out convolutions, a line a layer");
}

Compute DeviceSettings::enter(bool tf32) const {
  const Place place = place_of(device);
  const std::vector<Choice> choices = choices_of(backend);
  check_together(place, choices);
  Compute c;
  const bool emulated = !choices.empty() && choices[0].backend == Backend::emulated;
  const bool host = place.kind == Place::cpu || (!choices.empty() && on_host(choices[0].backend));
  const bool asked = place.kind == Place::gpu || (!choices.empty() && !emulated && !host);
  const std::string missing = host || emulated ? "" : missing_gpu();
  engine::check(!asked || missing.empty(), "--device cuda: ", missing,
                "; leave --device and --backend out to compute on the CPU");
  c.on_gpu = emulated || (!host && missing.empty());
  usage(c.on_gpu || !tf32, "--dtype tf32 is for GPUs and their emulation; on the CPU take f32");
  if (c.on_gpu) {
    engine::use_gpu(emulated ? kernels::runtime_emulated : kernels::runtime_cuda,
                    emulated ? Backend::emulated : Backend::cuda, place.index);
    c.open<engine::DeviceScope>(Device::gpu);
  }
  const std::string name = emulated   ? "the emulation of a GPU"
                           : c.on_gpu ? std::string(engine::gpu_runtime().gpu().name)
                                      : "cpu";
  c.device = name + (backend.empty() ? "" : ", " + backend);
  c.remark = c.on_gpu ? "on " + name : "on the CPU" + (missing.empty() ? "" : " (" + missing + ")");
  for (const Choice& choice : choices) c.open<engine::BackendScope>(choice.backend, choice.op);
  if (tf32) c.open<engine::Tf32Scope>();
  if (!conv3d_plans.empty()) {
    usage(c.on_gpu, "--conv3d-plans is for GPUs and their emulation");
    c.open<kernels::Conv3dPlanFileScope>(conv3d_plans);
    c.conv3d_plans = text_of(conv3d_plans);
  }
  return c;
}

}  // namespace kinema::tools
