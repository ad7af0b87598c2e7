#include "models/karpathy_early_fusion.h"

namespace kinema::models {

const Model karpathy_early_fusion_model = {
    "karpathy_early_fusion", "Karpathy's network, the first convolution on all 10 frames",
    karpathy_defaults(10), 0, [](const ModelOptions& o) {
      check_options("karpathy_early_fusion", o);
      return std::unique_ptr<Classifier>(
          new Karpathy(o, {.model = "karpathy_early_fusion", .spans = {o.frames, 1, 1}}));
    }};

}  // namespace kinema::models
