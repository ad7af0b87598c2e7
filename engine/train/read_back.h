#pragma once
#include <vector>
#include "engine/tensor.h"
#include "kernels/base/runtime.h"

namespace kinema::engine::train {

/// Tensors on their way to the host, so that what comes behind them on their device runs on: on a
/// GPU copied to pinned memory in the order of the thread's stream, elsewhere at once. Its memory
/// is kept for the next that have the same shapes.
class ReadBack {
 public:
  ReadBack() = default;
  /// Waits for what is under way.
  ~ReadBack();
  ReadBack(const ReadBack&) = delete;
  ReadBack& operator=(const ReadBack&) = delete;

  /// Asks for what they hold when their device has come here.
  void begin(const std::vector<Tensor>& tensors);
  /// Waits for it: as many tensors of the host, as they are until the next begin().
  const std::vector<Tensor>& wait();

 private:
  std::vector<Tensor> host_;
  kernels::Event event_;    ///< behind the copies of a GPU; made for the first
  bool under_way_ = false;  ///< on a GPU
};

}  // namespace kinema::engine::train
