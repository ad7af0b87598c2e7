#include "engine/trace.h"
#include <utility>

namespace kinema::engine {

namespace {
thread_local std::vector<Observer*> observers;
thread_local std::string path;
}  // namespace

Observer::Observer() { observers.push_back(this); }
Observer::~Observer() { std::erase(observers, this); }
Observer* Observer::current() { return observers.empty() ? nullptr : observers.back(); }

const std::string& current_path() { return path; }
PathScope::PathScope(const std::string& now) : before_(std::exchange(path, now)), range_(now) {}
PathScope::~PathScope() { path = std::move(before_); }

}  // namespace kinema::engine
