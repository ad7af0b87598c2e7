#pragma once
#include <functional>
#include <string>
#include "kernels/base/runtime.h"

// What the runtimes of both compilations keep on the host. Functions alone, none inline: nothing
// here may be compiled twice.

namespace kinema::kernels::device {

/// Where this thread's workspaces come from; null: the pool.
const MemorySource*& workspace_source();

/// Pinned memory, so that what is not may be refused.
void add_pinned(void*, int64_t bytes);
void remove_pinned(const void*);
/// Throws Error, naming `name`, unless all of the bytes are pinned.
void check_pinned(const char* name, const void*, int64_t bytes);

/// True if each launch is to be waited for, so that a fault names its operation: KINEMA_SYNC=1.
bool synchronous_launches();

/// "device memory: expected 12 MiB ...".
[[noreturn]] void fail_out_of_memory(int64_t bytes, const DeviceMemory&);

/// The device is lost from here on; of several texts the first is kept.
void lose_device(const std::string& text);
bool device_is_lost();
/// Throws DeviceLost with that text if the device is lost.
void check_device();
/// For tests, where there is no device to lose.
void forget_loss();

/// This thread captures from here on.
void enter_capture();
bool capturing();
/// Throws Error and breaks this thread's capture, if there is one.
[[noreturn]] void break_capture(const std::string& text);
/// Does so if this thread captures. `name` begins the text.
void check_no_capture(const char* name);
/// Runs f now, or when this thread's capture has ended.
void after_capture(std::function<void()> f);
/// This thread captures no more; "", or what has broken the capture.
std::string leave_capture();

}  // namespace kinema::kernels::device
