#include "engine/train/step_graph.h"
#include <utility>
#include "engine/gpu.h"
#include "engine/ops/copy.h"
#include "engine/served.h"

namespace kinema::engine::train {

StepGraph::StepGraph(Work work)
    : work_(std::move(work)), gpu_(gpu_runtime()), stream_(current_stream()), arena_(stream_) {}

StepGraph::~StepGraph() {
  if (graph_.handle) gpu_.drop_graph(graph_);
}

bool StepGraph::takes(const std::vector<Tensor>& inputs) const {
  if (inputs_.empty()) return true;
  bool same = inputs.size() == inputs_.size();
  for (size_t i = 0; same && i < inputs.size(); ++i)
    same = bool(inputs[i]) == bool(inputs_[i]) &&
           (!inputs[i] ||
            (inputs[i].shape() == inputs_[i].shape() && inputs[i].dtype() == inputs_[i].dtype()));
  return same;
}

/// True once a run has left the arena as it found it: the next takes what that one took.
bool StepGraph::settled() {
  const int64_t used = std::exchange(used_, arena_.used()),
                held = std::exchange(held_, arena_.held());
  return used == used_ && held == held_;
}

/// Leaves graph_ empty where the work does what no capture allows.
void StepGraph::capture() {
  arena_.fix();
  gpu_.begin_capture(stream_);
  std::string why;
  try {
    result_ = work_(inputs_);
  } catch (const kernels::DeviceLost&) {
    throw;
  } catch (const Error& e) {
    why = e.what();
  }
  try {
    graph_ = gpu_.end_capture(stream_);
  } catch (const kernels::DeviceLost&) {
    throw;
  } catch (const Error& e) {
    if (why.empty()) why = e.what();
  }
  if (why.empty()) return;
  if (graph_.handle) gpu_.drop_graph(std::exchange(graph_, {}));
  result_ = {};
  refused_ = true;
  note_once("train: the step cannot be captured as a graph and runs launch by launch: " + why);
}

Tensor StepGraph::run(const std::vector<Tensor>& inputs) {
  check(takes(inputs), "step graph: inputs of other shapes than those of the first run");
  if (refused_) return work_(inputs);
  if (inputs_.empty())
    for (const Tensor& t : inputs) inputs_.push_back(t ? empty_like(t) : Tensor{});
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i]) copy(inputs[i].detach(), inputs_[i]);
  if (!graph_.handle) {
    const StepArena::Scope scope(arena_);
    if (!settled()) return work_(inputs_);
    capture();
  }
  if (refused_) return work_(inputs_);
  gpu_.replay(graph_, stream_);
  ++replays_;
  return result_;
}

}  // namespace kinema::engine::train
