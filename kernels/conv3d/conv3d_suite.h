#pragma once
#include <array>
#include <string>
#include <vector>
#include "kernels/base/view.h"
#include "kernels/conv3d/conv3d_options.h"

namespace kinema::kernels {

/// A layer of a real network, from bench/conv3d_shapes.csv: distinct shapes of C3D, I3D, R(2+1)D,
/// SlowFast, Slow and C2D with non-local blocks, depthwise networks, recurrent cells, a video VAE.
struct Conv3dSuiteRow {
  int id = 0;
  std::string model, layer;
  Shape x = {}, w = {};
  Conv3dOptions options = {};
  bool headline = false;  ///< one of the twelve that stand for the rest
  /// Microseconds that a pass takes at least: max(FLOP / 790e12, bytes / 4.3e12), bf16, each tensor
  /// moved once, the rates those of an H200. 0: a stem's dx, which nobody needs. By Conv3dPass.
  std::array<double, 3> floor_us = {};
};

/// Errors: a file that cannot be read; a line without its 26 fields; a number that is none.
std::vector<Conv3dSuiteRow> read_conv3d_suite(const std::string& path = "bench/conv3d_shapes.csv");

}  // namespace kinema::kernels
