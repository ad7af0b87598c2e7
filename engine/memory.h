#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace kinema::engine {

/// Where a tensor's memory lies. `gpu` is the one of use_gpu(); `meta` has none: shapes alone.
enum class Device : uint8_t { cpu, gpu, meta };
constexpr const char* name_of(Device d) {
  constexpr const char* names[] = {"cpu", "gpu", "meta"};
  return names[int(d)];
}

/// Memory that knows how it is given back.
using Block = std::unique_ptr<void, std::function<void(void*)>>;

/// One allocation, 64-byte aligned (256 on a GPU), given back for reuse when its last owner goes.
/// On a GPU it is taken and given back in the order of the stream that was current when it was
/// made: who uses it on another stream keeps it until that is done. Inside of a StepArena::Scope it
/// comes from that arena.
class Storage {
 public:
  /// `pinned`: memory of the CPU that a GPU reads by itself.
  /// Errors: memory runs out.
  Storage(Device device, int64_t bytes, bool pinned = false);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return memory_.get(); }
  int64_t bytes() const { return bytes_; }
  Device device() const { return device_; }

 private:
  int64_t bytes_;
  Device device_;
  Block memory_;
};
using StoragePtr = std::shared_ptr<Storage>;

/// Bytes that live tensors on a device hold, and the most they ever held.
struct MemoryUse {
  int64_t live = 0, peak = 0;
};
MemoryUse memory_use(Device device = Device::cpu);

}  // namespace kinema::engine
