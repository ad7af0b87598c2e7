#include "engine/policy.h"
#include <cstdio>
#include <mutex>
#include <set>
#include "engine/gpu.h"
#include "engine/served.h"

namespace kinema::engine {

namespace {

thread_local Policy policy;

Policy extended(Backend backend, const std::string& op) {
  auto choices = policy ? *policy : std::vector<std::pair<std::string, Backend>>{};
  choices.emplace_back(op, backend);
  return std::make_shared<const std::vector<std::pair<std::string, Backend>>>(std::move(choices));
}

bool runs_on(Backend backend, Device device) {
  if (backend == Backend::meta) return true;
  const bool host = backend == Backend::reference || backend == Backend::cpu;
  return host == (device == Device::cpu);
}

}  // namespace

Policy current_policy() { return policy; }

Choice choice_for(const char* op, Device device) {
  if (device == Device::meta) return {Backend::meta, Backend::meta};
  const Backend own = device == Device::gpu ? gpu_backend() : Backend::cpu;
  if (!policy) return {own, own};
  for (auto choice = policy->rbegin(); choice != policy->rend(); ++choice) {
    const auto& [name, backend] = *choice;
    if (!(name.empty() || name == op) || !runs_on(backend, device)) continue;
    // Kernels of the emulation run on its made-up GPU alone, and no others do.
    check(device == Device::cpu || (backend == Backend::emulated) == (own == Backend::emulated), op,
          ": backend ", backend, " cannot run on the GPU in use, which has ", own);
    return {backend, name.empty() ? own : backend};
  }
  return {own, own};
}

void note_once(const std::string& sentence) {
  static std::mutex mutex;
  static std::set<std::string> said;
  const std::lock_guard lock(mutex);
  if (said.insert(sentence).second) std::fprintf(stderr, "note: %s\n", sentence.c_str());
}

PolicyScope::PolicyScope(Policy now) : before_(std::exchange(policy, std::move(now))) {}
PolicyScope::~PolicyScope() { policy = std::move(before_); }

BackendScope::BackendScope(Backend backend, const std::string& op)
    : PolicyScope(extended(backend, op)) {}

}  // namespace kinema::engine
