#pragma once
#include "engine/nn/module.h"
#include "engine/ops/pool3d.h"

namespace kinema::engine::nn {

/// engine::max_pool3d with its geometry.
class MaxPool3d : public Module {
 public:
  MaxPool3d(Module* parent, const std::string& name, const Pool3dOptions& options)
      : Module(parent, name), geometry(options) {}
  Tensor forward(const Tensor& x, const Tensor& out = {}) const {
    auto scope = enter();
    return max_pool3d(x, geometry, out);
  }

  Pool3dOptions geometry;
};

/// engine::average_pool3d with its geometry.
class AveragePool3d : public Module {
 public:
  AveragePool3d(Module* parent, const std::string& name, const Pool3dOptions& options)
      : Module(parent, name), geometry(options) {}
  Tensor forward(const Tensor& x, const Tensor& out = {}) const {
    auto scope = enter();
    return average_pool3d(x, geometry, out);
  }

  Pool3dOptions geometry;
};

}  // namespace kinema::engine::nn
