#pragma once
#include "engine/data/loader.h"

namespace kinema::engine::video {

/// Testing with more views a video than go into one batch: each batch holds some views of one
/// video, in their order (see VideoViews). Samples come one after another; one thread makes pieces
/// ahead, up to what the memory cap allows, with the loader's threads for the decoder. Inside
/// engine/data/; the loader hands over to it.
class ViewPieces {
 public:
  /// All must outlive it. Errors: a memory cap below one piece.
  ViewPieces(const Dataset& dataset, const Recipe& recipe, const LoaderOptions& options);
  ~ViewPieces();
  ViewPieces(const ViewPieces&) = delete;
  ViewPieces& operator=(const ViewPieces&) = delete;

  int64_t pieces_a_sample() const;
  /// Begins at piece `first` of the epoch, which must be the first of a sample.
  void start(int64_t first);
  /// See Loader::next().
  bool next(Batch& batch);
  double wait_seconds() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kinema::engine::video
