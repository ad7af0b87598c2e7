#include "kernels/device/host_state.h"
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace kinema::kernels::device {

namespace {

struct Capture {
  bool on = false;
  std::string broken;
  std::vector<std::function<void()>> later;
};
thread_local Capture capture;

std::mutex lock;
std::map<uintptr_t, int64_t> pinned;  // under lock: bytes by address
std::string loss;                     // under lock
std::atomic<bool> lost = false;

}  // namespace

const MemorySource*& workspace_source() {
  thread_local const MemorySource* source = nullptr;
  return source;
}

void add_pinned(void* memory, int64_t bytes) {
  const std::lock_guard guard(lock);
  pinned[reinterpret_cast<uintptr_t>(memory)] = bytes;
}

void remove_pinned(const void* memory) {
  const std::lock_guard guard(lock);
  pinned.erase(reinterpret_cast<uintptr_t>(memory));
}

void check_pinned(const char* name, const void* memory, int64_t bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  const std::lock_guard guard(lock);
  auto found = pinned.upper_bound(begin);
  const bool inside = found != pinned.begin() &&
                      begin + uintptr_t(bytes) <= (--found)->first + uintptr_t(found->second);
  check(inside || bytes == 0, name, ": expected pinned memory of the host, got ", bytes,
        " bytes at ", memory);
}

bool synchronous_launches() {
  static const bool on = [] {
    const char* set = std::getenv("KINEMA_SYNC");
    return set && *set && std::strcmp(set, "0") != 0;
  }();
  return on;
}

void fail_out_of_memory(int64_t bytes, const DeviceMemory& m) {
  const auto mib = [](int64_t b) { return (b + (1 << 20) - 1) >> 20; };
  fail("device memory: expected ", mib(bytes), " MiB more, but of ", mib(m.total), " MiB ",
       mib(m.free), " are free, and the pool holds ", mib(m.held), " of which ", mib(m.used),
       " are in use; take a smaller --batch, fewer --frames or --checkpoint-activations");
}

void lose_device(const std::string& text) {
  const std::lock_guard guard(lock);
  if (!lost.exchange(true)) loss = text;
}

bool device_is_lost() { return lost; }

void check_device() {
  if (!lost) return;
  const std::lock_guard guard(lock);
  throw DeviceLost(loss);
}

void forget_loss() { lost = false; }

void enter_capture() {
  if (capture.on) break_capture("begin_capture: this thread captures a stream already");
  static const bool noted = [] {
    if (synchronous_launches())
      std::fprintf(stderr,
                   "KINEMA_SYNC: what a graph is made of is not waited for, its replay is\n");
    return true;
  }();
  (void)noted;
  capture = {.on = true, .broken = "", .later = {}};
}

bool capturing() { return capture.on; }

void break_capture(const std::string& text) {
  if (capture.on) capture.broken = text;
  throw Error(text);
}

void check_no_capture(const char* name) {
  if (capture.on) break_capture(std::string(name) + ": not while this thread captures a stream");
}

void after_capture(std::function<void()> f) {
  if (capture.on)
    capture.later.push_back(std::move(f));
  else
    f();
}

std::string leave_capture() {
  const Capture ended = std::exchange(capture, {});
  for (const auto& f : ended.later) f();
  return ended.broken;
}

}  // namespace kinema::kernels::device
