#pragma once
#include <memory>
#include "engine/data/loader.h"

namespace kinema::engine::train {

/// A batch where the network computes.
struct FedBatch {
  Tensor clips;    ///< [N,T,H,W,3]
  Tensor labels;   ///< i64 [N]
  Tensor targets;  ///< f32 [N,classes] of a multi-label set
  /// What stays on the host: labels and targets once more, index, views. No clips.
  video::Batch host;
};

/// Brings batches to where the network computes: raw ones to the GPU, others stay where they are.
///
/// Raw clips are gathered in pinned memory, go to the GPU in a stream of their own, and become
/// clips in the calling thread's stream. Nothing here waits for that stream: while it still
/// computes on one batch, the next is on its way. Of staging memory and of the GPU's there are two
/// each, used by turns; they grow to the largest batch, which is at most batch_bytes() and what
/// goes with it.
class Feed {
 public:
  /// `type`: of the clips that raw ones become, f32, bf16 or f16.
  explicit Feed(const video::Recipe& recipe, Dtype type = Dtype::f32);
  /// Waits until the GPU has read what is on its way.
  ~Feed();
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  /// On a GPU the tensors are fresh ones of current_stream(), in whose order they get their values.
  /// Takes a copy of the frames by this thread, one upload, a launch for each run of clips of one
  /// size: one in all, unless the recipe scales.
  /// Errors: raw clips where no GPU is in use.
  FedBatch bring(video::Batch batch);

 private:
  struct Ring;
  void bring_raw(const video::Batch& batch, FedBatch& fed);

  video::Recipe recipe_;
  Dtype type_;
  std::unique_ptr<Ring> ring_;  ///< made for the first raw batch
};

}  // namespace kinema::engine::train
