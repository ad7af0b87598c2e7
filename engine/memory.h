#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace kinema::engine {

/// Where a tensor's memory lies. `meta` has none: shapes alone.
enum class Device : uint8_t { cpu, meta };

/// One allocation, 64-byte aligned, given back for reuse when its last owner goes.
class Storage {
 public:
  Storage(Device device, int64_t bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  Device device() const { return device_; }

 private:
  void* data_ = nullptr;
  int64_t bytes_ = 0, held_ = 0;
  Device device_;
};
using StoragePtr = std::shared_ptr<Storage>;

/// Bytes that live tensors hold, and the most they ever held.
struct MemoryUse {
  int64_t live = 0, peak = 0;
};
MemoryUse memory_use();

}  // namespace kinema::engine
