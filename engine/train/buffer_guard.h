#pragma once
#include <utility>
#include <vector>
#include "engine/nn/module.h"

namespace kinema::engine::train {

/// Remembers the buffers of a module (running statistics: some numbers a channel) and puts them
/// back when it goes, unless it was told to keep() what they are then.
class BufferGuard {
 public:
  explicit BufferGuard(const nn::Module& module);
  ~BufferGuard();
  BufferGuard(const BufferGuard&) = delete;
  BufferGuard& operator=(const BufferGuard&) = delete;

  void put_back() const;
  void keep() { before_.clear(); }

 private:
  std::vector<std::pair<Tensor, Tensor>> before_;  ///< a buffer and its copy
};

}  // namespace kinema::engine::train
