#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>
#include "engine/step_arena.h"
#include "engine/tensor.h"
#include "kernels/base/runtime.h"

namespace kinema::engine::train {

/// The launches of a step of training, captured as a graph of the GPU and replayed: to the host a
/// step is then one call, however many kernels it has. What a replay computes differs from the
/// capture only by what lies in the GPU's memory: arguments of kernels are those of the capture.
///
/// First the step runs launch by launch, in a StepArena, until it takes and gives the same memory
/// as the time before; then it is captured, and from there on replayed. It reads its inputs where
/// they always lie: each run copies them there, at the speed of the GPU's memory. A step that
/// cannot be captured, as one that waits for the GPU, runs launch by launch for good; that is said
/// once.
class StepGraph {
 public:
  /// Takes tensors, gives one back. Launches the same kernels on the same memory each time, as far
  /// as shapes of its inputs do not say otherwise; other tensors that it uses stay where they are.
  using Work = std::function<Tensor(const std::vector<Tensor>& inputs)>;

  /// `work` is run in the order of the stream that is current now.
  explicit StepGraph(Work work);
  /// What was put in the stream still runs.
  ~StepGraph();
  StepGraph(const StepGraph&) = delete;
  StepGraph& operator=(const StepGraph&) = delete;

  /// True for inputs of the shapes and types of the first run, or of any where there was none.
  bool takes(const std::vector<Tensor>& inputs) const;

  /// work(inputs), to the bit; a replay's result lies where the one before lay. Errors: work's.
  Tensor run(const std::vector<Tensor>& inputs);

  /// Runs that were replays.
  int64_t replays() const { return replays_; }

 private:
  bool settled();
  void capture();

  const Work work_;
  const kernels::Runtime& gpu_;
  const Stream stream_;
  StepArena arena_;
  std::vector<Tensor> inputs_;
  int64_t replays_ = 0;
  int64_t used_ = -1, held_ = -1;  ///< by the arena when the last run began
  kernels::Graph graph_;
  Tensor result_;         ///< of the graph
  bool refused_ = false;  ///< it cannot be captured
};

}  // namespace kinema::engine::train
