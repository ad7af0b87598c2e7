#pragma once
#include <cstdint>
#include <memory>
#include "engine/memory.h"
#include "kernels/base/backend.h"

namespace kinema::engine {

/// Memory of the GPU for a step that is captured as a graph and replayed: the same takes and gives
/// in the same order give the same addresses, whatever else the process does meanwhile. While a
/// Scope lives on a thread, its tensors on Device::gpu and the workspaces of its kernels come from
/// here, the smallest gap that fits first, of equal ones the first. It grows by chunks from the
/// GPU's pool until fix(), and never shrinks. What was taken from it may outlive it.
/// Memory that was given back is handed out again at once, so it serves one stream, in whose order
/// that is right.
class StepArena {
 public:
  /// `chunk`: bytes, the least that it grows by.
  explicit StepArena(kernels::Stream stream, int64_t chunk = int64_t(64) << 20);
  StepArena(const StepArena&) = delete;
  StepArena& operator=(const StepArena&) = delete;

  /// It must not grow from here on: a capture allocates nothing. What would make it grow is an
  /// Error that says what was asked and held.
  void fix();
  /// Bytes in use, and taken from the pool.
  int64_t used() const;
  int64_t held() const;

  class Scope {
   public:
    explicit Scope(StepArena& arena);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    std::shared_ptr<class ArenaState> before_;
  };

 private:
  std::shared_ptr<class ArenaState> state_;
};

/// Memory on the GPU for this thread's current stream: from the arena of the innermost Scope, else
/// from the GPU's pool.
Block take_gpu(int64_t bytes);

}  // namespace kinema::engine
