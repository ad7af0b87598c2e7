#include "kernels/cudnn/plan.h"
#include <fstream>
#include <iterator>

namespace kinema::kernels::cudnn {

Target::Target() : handle_(handle({})) {}

Target::Target(const std::string& file) {
  const auto version = int64_t(library().cudnnGetVersion());
  if (version < 91100)
    throw Unsupported("cuDNN: expected 9.11 or newer to plan for a GPU that is not at hand, got " +
                      text_of_version(version));
  std::ifstream in(file);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  check(!text.empty(), "cuDNN: expected a GPU's properties in ", file, ", which cannot be read");
  properties_.emplace(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties_->set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span<const char>(text));
  properties_->finalize();
}

void Target::tell_graph(Descriptor& graph) const {
  if (handle_) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle_);
}
void Target::tell_heuristic(Descriptor& heuristic) const {
  if (properties_) heuristic.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *properties_);
}
void Target::tell_plan(Descriptor& plan) const {
  if (properties_)
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *properties_);
  else
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle_);
}

Descriptor graph_of(std::span<const Descriptor> operations, const Target& target) {
  std::vector<cudnnBackendDescriptor_t> all;
  for (const Descriptor& o : operations) all.push_back(o.value());
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  target.tell_graph(graph);
  graph.set_descriptors(CUDNN_ATTR_OPERATIONGRAPH_OPS, all);
  graph.finalize();
  return graph;
}

std::string text_of(const std::vector<cudnnBackendNumericalNote_t>& notes) {
  constexpr const char* names[] = {"tensor core",  "down-converts inputs", "narrow sums",
                                   "FFT",          "nondeterministic",     "Winograd",
                                   "Winograd 4x4", "Winograd 6x6",         "Winograd 13x13",
                                   "strict NaN"};
  std::string text;
  for (const auto note : notes) {
    if (!text.empty()) text += ", ";
    text += size_t(note) < std::size(names) ? names[note] : "unknown note " + std::to_string(note);
  }
  return text;
}

bool serves(const std::vector<cudnnBackendNumericalNote_t>& notes, bool exact) {
  return std::ranges::all_of(notes, [&](cudnnBackendNumericalNote_t note) {
    if (note == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP) return true;
    return note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE && !exact;
  });
}

namespace {

/// An engine with its knobs, by what the heuristic knows it.
struct Candidate {
  explicit Candidate(const Descriptor& config);
  std::string name;
  std::vector<cudnnBackendNumericalNote_t> notes;
};

Candidate::Candidate(const Descriptor& config) {
  constexpr int64_t most_knobs = CUDNN_KNOB_TYPE_COUNTS;
  const std::vector<Descriptor> engine =
      config.get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
  check(!engine.empty(), "cuDNN: expected an engine of a configuration, got none");
  notes = engine.front().get<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                          CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  name = "eng" + std::to_string(engine.front().get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
  for (const Descriptor& knob : config.get(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                           CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, most_knobs))
    name += "_k" +
            std::to_string(knob.get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE)) +
            "=" + std::to_string(knob.get<int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
}

std::vector<Descriptor> ranked(const Descriptor& graph, cudnnBackendHeurMode_t mode,
                               const Target& target) {
  Descriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  target.tell_heuristic(heuristic);
  if (!heuristic.finalizes()) return {};
  const int64_t count =
      heuristic.count(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR);
  return heuristic.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, count);
}

}  // namespace

std::vector<Plan> plans_of(const Descriptor& graph, const Target& target,
                           const PlanLimits& limits) {
  std::vector<Plan> plans;
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
    for (const Descriptor& config : ranked(graph, mode, target)) {
      if (int64_t(plans.size()) == limits.most) return plans;
      Candidate candidate(config);
      const bool known =
          std::ranges::any_of(plans, [&](const Plan& p) { return p.name == candidate.name; });
      if (known || !serves(candidate.notes, limits.exact)) continue;
      Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      target.tell_plan(plan);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
      if (!plan.finalizes()) continue;
      const auto workspace = plan.get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
      if (workspace > limits.workspace) continue;
      plans.push_back({std::move(plan), candidate.name, workspace, candidate.notes});
    }
  return plans;
}

void run(const char* what, const Plan& plan, Stream stream, std::span<const int64_t> ids,
         std::span<void* const> pointers, void* workspace) {
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids);
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, pointers);
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace);
  pack.finalize();
  check_cudnn(library().cudnnBackendExecute(handle(stream), plan.plan.value(), pack.value()), what);
}

}  // namespace kinema::kernels::cudnn
