#include "engine/policy.h"

namespace kinema::engine {

namespace {

thread_local Policy policy;

Policy extended(Backend backend, const std::string& op) {
  auto choices = policy ? *policy : std::vector<std::pair<std::string, Backend>>{};
  choices.emplace_back(op, backend);
  return std::make_shared<const std::vector<std::pair<std::string, Backend>>>(std::move(choices));
}

}  // namespace

Policy current_policy() { return policy; }

Backend backend_for(const char* op, Device device) {
  if (device == Device::meta) return Backend::meta;
  if (policy)
    for (auto choice = policy->rbegin(); choice != policy->rend(); ++choice)
      if (choice->first.empty() || choice->first == op) return choice->second;
  return Backend::cpu;
}

PolicyScope::PolicyScope(Policy now) : before_(std::exchange(policy, std::move(now))) {}
PolicyScope::~PolicyScope() { policy = std::move(before_); }

BackendScope::BackendScope(Backend backend, const std::string& op)
    : PolicyScope(extended(backend, op)) {}

}  // namespace kinema::engine
