#pragma once
#include <vector>
#include "kernels/base/view.h"
#include "kernels/pool3d/pool3d_options.h"

namespace kinema::kernels {

struct Pool3dCase {
  const char* tag;  ///< ci: run by the tests; full: by benchmarks
  Shape x;
  Pool3dOptions options;
};

/// Edges first, then pools of real networks.
inline const std::vector<Pool3dCase> pool3d_cases = {
    {"ci", {0, 2, 4, 4, 3}, {.kernel = {1, 2, 2}}},
    {"ci", {1, 1, 1, 1, 1}, {}},
    {"ci", {2, 3, 0, 4, 5}, {.kernel = {1, 2, 2}}},
    {"ci", {2, 2, 4, 4, 0}, {.kernel = {1, 2, 2}}},
    {"ci", {1, 1, 1, 1, 3}, {.kernel = {3, 3, 3}, .pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}}},
    {"ci", {2, 3, 5, 7, 5}, {.kernel = {2, 2, 2}}},
    {"ci", {2, 3, 5, 7, 5}, {.kernel = {2, 2, 2}, .ceil_mode = true}},
    {"ci", {1, 4, 6, 5, 3}, {.kernel = {1, 1, 2}, .stride = {2, 3, 3}}},
    {"ci", {1, 1, 2, 3, 4}, {.kernel = {1, 3, 5}, .stride = {1, 2, 3}, .ceil_mode = true}},
    {"ci", {2, 4, 6, 5, 21}, {.kernel = {3, 3, 3}, .stride = {1, 1, 1}}},
    {"ci",
     {2, 4, 6, 7, 45},
     {.kernel = {2, 3, 3}, .stride = {1, 2, 2}, .pad_front = {0, 1, 0}, .pad_back = {1, 0, 2}}},
    {"ci",
     {1, 3, 6, 6, 13},
     {.kernel = {3, 3, 3},
      .stride = {2, 2, 2},
      .pad_front = {1, 1, 1},
      .pad_back = {1, 1, 1},
      .ceil_mode = true}},
    {"ci",
     {1, 3, 6, 6, 13},
     {.kernel = {3, 3, 3},
      .stride = {2, 2, 2},
      .pad_front = {1, 1, 1},
      .pad_back = {1, 1, 1},
      .ceil_mode = true,
      .count_padding = false}},
    {"ci", {1, 7, 9, 8, 6}, {.kernel = {7, 7, 7}, .stride = {1, 1, 1}}},  // taps past one byte
    {"ci", {1, 5, 8, 8, 12}, {.kernel = {1, 2, 2}}},
    {"ci", {1, 4, 8, 8, 24}, {.kernel = {4, 4, 4}}},
    {"ci", {2, 2, 4, 4, 256}, {.kernel = {2, 2, 2}}},
    {"full", {8, 16, 112, 112, 32}, {.kernel = {1, 2, 2}}},
    {"full", {8, 16, 56, 56, 64}, {.kernel = {2, 2, 2}}},
    {"full", {8, 8, 28, 28, 128}, {.kernel = {2, 2, 2}}},
    {"full", {4, 20, 64, 64, 12}, {.kernel = {4, 4, 4}}},
    {"full",
     {2, 8, 112, 112, 64},
     {.kernel = {1, 3, 3}, .stride = {1, 2, 2}, .pad_front = {0, 1, 1}, .pad_back = {0, 1, 1}}},
};

}  // namespace kinema::kernels
