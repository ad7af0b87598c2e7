#pragma once
#include <optional>
#include <string>
#include "kernels/cudnn/descriptor.h"

// From a graph of operations to a plan that runs, through cuDNN's heuristics.

namespace kinema::kernels::cudnn {

/// A GPU that plans are made for: this thread's, or one that is described and need not be at hand.
class Target {
 public:
  /// The GPU of this thread. Errors: none.
  Target();
  /// The GPU whose properties a file holds as cuDNN's JSON (bench/h200_device.json): plans for it
  /// can be made and looked at, not run. cuDNN then has no driver to compile kernels with, so that
  /// engines that do so are missing from what it offers. Errors: a file that cannot be read;
  /// Unsupported by a cuDNN older than 9.11, which knows no GPU but those at hand.
  explicit Target(const std::string& file);

  // What the descriptors on the way to a plan are told of it.
  void tell_graph(Descriptor&) const;
  void tell_heuristic(Descriptor&) const;
  void tell_plan(Descriptor&) const;

 private:
  cudnnHandle_t handle_ = nullptr;        ///< null: described
  std::optional<Descriptor> properties_;  ///< of the described GPU
};

/// The graph of `operations`, which are final.
Descriptor graph_of(std::span<const Descriptor> operations, const Target&);

/// A plan that is final.
struct Plan {
  Descriptor plan;
  std::string name;  ///< engine and knobs, as in eng62_k2=7_k27=1: what cudnn-frontend calls it
  int64_t workspace = 0;  ///< bytes
  std::vector<cudnnBackendNumericalNote_t> notes;
};

/// As in "tensor core, down-converts inputs"; "" of no notes.
std::string text_of(const std::vector<cudnnBackendNumericalNote_t>& notes);

/// Whether an engine may serve by what it notes of its numbers: the same bits each time; sums in
/// f32; neither factors nor sums through a transform (FFT, Winograd), whose error grows with the
/// tile; and where `exact`, no tensor core, which would round factors of f32 to TF32.
bool serves(const std::vector<cudnnBackendNumericalNote_t>& notes, bool exact);

/// Which plans are wanted.
struct PlanLimits {
  bool exact = false;                   ///< see serves
  int64_t most = 1;                     ///< how many
  int64_t workspace = workspace_limit;  ///< bytes that one may need
};

/// Plans of a graph whose engines serve, those that cuDNN ranks best first: heuristic mode A, then
/// what it falls back on. Takes a millisecond or so for each; none where cuDNN has none.
std::vector<Plan> plans_of(const Descriptor& graph, const Target&, const PlanLimits&);

/// Runs a plan in the order of the stream: ids[i], an id of a tensor of the graph, lies at
/// pointers[i].
void run(const char* what, const Plan&, Stream, std::span<const int64_t> ids,
         std::span<void* const> pointers, void* workspace);

}  // namespace kinema::kernels::cudnn
