#pragma once
#include <vector>
#include "kernels/base/view.h"

namespace kinema::kernels {

struct LayerNormCase {
  const char* tag;  ///< ci: run by the tests; full: by benchmarks
  Shape x;
};

/// Edges first, then tokens of video transformers and activations of convolutional networks.
inline const std::vector<LayerNormCase> layer_norm_cases = {
    {"ci", {7}},
    {"ci", {0, 5}},
    {"ci", {3, 0}},
    {"ci", {4, 1}},
    {"ci", {5, 2}},
    {"ci", {2, 3, 4, 5, 3}},
    {"ci", {2, 1, 3, 3, 45}},
    {"ci", {3, 2, 2, 96}},
    {"ci", {2, 37, 768}},   // several chunks of rows
    {"ci", {2, 5003}},      // more than a warp holds in registers
    {"ci", {1, 3, 20011}},  // more than a block does
    {"full", {8, 1568, 384}},
    {"full", {8, 1568, 768}},         // VideoMAE-B, ViViT-B
    {"full", {8, 3136, 1024}},        // TimeSformer-L
    {"full", {8, 8, 56, 56, 96}},     // MViT, Video Swin: the first stage
    {"full", {4, 8, 7, 7, 768}},      // and the last
    {"full", {64, 8, 14, 14, 2048}},  // wide rows
};

}  // namespace kinema::kernels
