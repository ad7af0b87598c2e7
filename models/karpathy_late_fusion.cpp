#include "models/karpathy_late_fusion.h"

namespace kinema::models {

const Model karpathy_late_fusion_model = {
    "karpathy_late_fusion",
    "Karpathy's network on two frames, 15 apart, joined in its first full layer",
    karpathy_defaults(2),
    0,
    [](const ModelOptions& o) {
      check_options("karpathy_late_fusion", o);
      return std::unique_ptr<Classifier>(new Karpathy(
          o, {.model = "karpathy_late_fusion", .frames = KarpathyFusion::Frames::two_joined}));
    },
    15};

}  // namespace kinema::models
