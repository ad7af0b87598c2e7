#include "models/karpathy_slow_fusion.h"

namespace kinema::models {

const Model karpathy_slow_fusion_model = {
    "karpathy_slow_fusion", "Karpathy's network, three convolutions fuse 10 frames step by step",
    karpathy_defaults(10), 0, [](const ModelOptions& o) {
      check_options("karpathy_slow_fusion", o);
      return std::unique_ptr<Classifier>(new Karpathy(
          o, {.model = "karpathy_slow_fusion", .spans = {4, 2, 2}, .steps = {2, 2, 2}}));
    }};

}  // namespace kinema::models
