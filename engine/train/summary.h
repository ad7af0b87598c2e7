#pragma once
#include <array>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>
#include "engine/nn/module.h"

namespace kinema::engine::train {

/// One operation of a network.
struct Layer {
  std::string path;  ///< of the module that ran it
  std::string op;
  Shape output;
  int64_t parameters = 0;        ///< of that module; 0 where a row above counted them
  int64_t macs = 0;              ///< multiply-accumulates
  int64_t activation_bytes = 0;  ///< of the output, zero lanes included
  /// How many frames, rows and columns of the clip one element of the output depends on, at most:
  /// not more than the clip has.
  std::array<int64_t, 3> receptive_field{1, 1, 1};
};

struct Summary {
  std::vector<Layer> layers;
  int64_t parameters = 0;  ///< of the whole network
  int64_t macs = 0;
  int64_t activation_bytes = 0;
};

/// Runs `forward` on a clip of shape `input` [N,T,H,W,C] on the meta device, without memory for it:
/// `network` must have been made inside DeviceScope(Device::meta). Views and copies between layouts
/// are no layers.
/// Receptive fields by the recursion r' = r + (window - 1) * jump, jump' = jump * stride along each
/// axis (Araujo et al., Computing Receptive Fields of Convolutional Neural Networks, Distill 2019);
/// an operation of several inputs takes the largest.
Summary summarise(const nn::Module& network, const Shape& input,
                  const std::function<Tensor(const Tensor&)>& forward);

/// {"parameters", "macs", "activation_bytes", "layers": [{"path", "op", "output", "parameters",
/// "macs", "activation_bytes", "receptive_field"}]}
void to_json(nlohmann::json& j, const Summary& s);

/// A table for people, one line a layer, the sums last.
std::string table_of(const Summary& s);

}  // namespace kinema::engine::train
