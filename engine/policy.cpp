#include "engine/policy.h"
#include <utility>
#include <vector>

namespace kinema::engine {

namespace {
thread_local std::vector<std::pair<std::string, Backend>> choices;
}

Backend backend_for(const char* op, Device device) {
  if (device == Device::meta) return Backend::meta;
  for (auto choice = choices.rbegin(); choice != choices.rend(); ++choice)
    if (choice->first.empty() || choice->first == op) return choice->second;
  return Backend::cpu;
}

BackendScope::BackendScope(Backend backend, std::string op) {
  choices.emplace_back(std::move(op), backend);
}
BackendScope::~BackendScope() { choices.pop_back(); }

}  // namespace kinema::engine
