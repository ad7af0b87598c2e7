#include "models/karpathy_single_frame.h"

namespace kinema::models {

const Model karpathy_single_frame_model = {
    "karpathy_single_frame", "Karpathy's network on single frames, scores averaged",
    karpathy_defaults(1), 1, [](const ModelOptions& o) {
      check_options("karpathy_single_frame", o);
      return std::unique_ptr<Classifier>(new Karpathy(
          o, {.model = "karpathy_single_frame", .frames = KarpathyFusion::Frames::all_averaged}));
    }};

}  // namespace kinema::models
