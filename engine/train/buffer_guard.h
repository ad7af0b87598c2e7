#pragma once
#include <utility>
#include <vector>
#include "engine/nn/module.h"

namespace kinema::engine::train {

/// Remembers the buffers of a module (running statistics: some numbers a channel) and puts them
/// back when it goes, unless it was told before what becomes of them.
class BufferGuard {
 public:
  explicit BufferGuard(const nn::Module& module);
  ~BufferGuard();
  BufferGuard(const BufferGuard&) = delete;
  BufferGuard& operator=(const BufferGuard&) = delete;

  /// They stay what they are now.
  void keep() { before_.clear(); }
  /// A share, f64 [1] on their device, is what they were before: 0 keeps them, 1 puts them back.
  void settle(const Tensor& share);

 private:
  std::vector<std::pair<Tensor, Tensor>> before_;  ///< a buffer and its copy
};

}  // namespace kinema::engine::train
