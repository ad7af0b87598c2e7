#include <cmath>
#include "tests/support/conv3d_device.h"

// Stems: frames of at most 4 channels that lie side by side.

namespace kinema::test {
namespace {

using kernels::Conv3d, kernels::Conv3dAlgorithm, kernels::Conv3dOptions, kernels::Conv3dOverride;

constexpr Conv3dOverride stem(int columns = 0, int splits = 0) {
  return {.algorithm = int(Conv3dAlgorithm::stem), .columns = columns, .splits = splits};
}

/// Filters that do not fit into 99 KB of shared memory run where there is more.
std::vector<DeviceRun> runs_with_much_memory() {
  std::vector<DeviceRun> runs = every_run_twice();
  std::erase_if(runs, [](const DeviceRun& r) { return r.name == "little shared memory"; });
  return runs;
}

/// f32 both by FMA and as TF32.
template <class F>
void each_product(ConvolutionRun r, const F& f) {
  for (Dtype type : {Dtype::bf16, Dtype::f16}) {
    r.type = type;
    f(r);
  }
  r.type = Dtype::f32;
  r.runs = runs_with_much_memory();
  f(r);
  r.options.tf32 = true;
  f(r);
}

void expect_stem(const ConvolutionRun& r) {
  expect_forward(r, all_extras);
  expect_grad_weight(r);
}

TEST(Conv3dStemDevice, Networks) {
  const ConvolutionRun rows[] = {
      {.options = {.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}},
       .x = {1, 3, 12, 20, 3},
       .w = {64, 3, 3, 3, 3},
       .what = "C3D conv1"},
      {.options = {.stride = {1, 2, 2}, .pad_front = {0, 3, 3}, .pad_back = {0, 3, 3}},
       .x = {1, 2, 22, 34, 3},
       .w = {64, 1, 7, 7, 3},
       .what = "ResNet-50 stem"},
      {.options = {.stride = {1, 2, 2}, .pad_front = {0, 3, 3}, .pad_back = {0, 3, 3}},
       .x = {2, 2, 19, 23, 3},
       .w = {45, 1, 7, 7, 3},
       .what = "R(2+1)D stem"},
      {.options = {.stride = {1, 2, 2}, .pad_front = {2, 3, 3}, .pad_back = {2, 3, 3}},
       .x = {1, 6, 22, 18, 3},
       .w = {8, 5, 7, 7, 3},
       .what = "SlowFast's fast stem"},
  };
  for (const ConvolutionRun& row : rows)
    each_product(row, [](ConvolutionRun r) {
      r.plan = stem();
      expect_stem(r);
    });
}

TEST(Conv3dStemDevice, I3D) {
  ConvolutionRun row = {
      .options = {.stride = {2, 2, 2}, .pad_front = {2, 2, 2}, .pad_back = {3, 3, 3}},
      .x = {1, 5, 14, 16, 3},
      .w = {64, 7, 7, 7, 3},
      .plan = stem(),
      .what = "I3D stem"};
  each_product(row, [](ConvolutionRun r) {
    r.runs = runs_with_much_memory();
    expect_stem(r);
  });
}

/// Numbers of channels, filters, taps; strides past the filter; dilations; paddings of every kind;
/// clips, frames and rows that are not whole tiles.
const ConvolutionRun ragged[] = {
    {.x = {1, 1, 1, 1, 1}, .w = {1, 1, 1, 1, 1}, .what = "one pixel"},
    {.options = {.pad_front = {0, 1, 2}, .pad_back = {1, 0, 1}},
     .x = {2, 3, 5, 19, 1},
     .w = {9, 2, 2, 4, 1},
     .what = "one channel"},
    {.options = {.stride = {2, 1, 3}, .pad_front = {3, 2, 1}, .pad_back = {0, 3, 4}},
     .x = {2, 4, 9, 41, 2},
     .w = {33, 3, 4, 5, 2},
     .what = "two channels"},
    {.options = {.stride = {1, 3, 1}, .dilation = {2, 3, 1}, .pad_front = {1, 2, 0}},
     .x = {1, 5, 12, 17, 3},
     .w = {70, 2, 3, 1, 3},
     .what = "dilation"},
    {.options = {.stride = {3, 2, 4}, .pad_back = {0, 0, 2}},
     .x = {1, 4, 5, 37, 3},
     .w = {17, 1, 1, 3, 3},
     .what = "strides past the filter"},
    {.options = {.stride = {1, 1, 1}, .pad_front = {2, 0, 6}, .pad_back = {4, 5, 0}},
     .x = {3, 2, 4, 9, 4},
     .w = {5, 2, 3, 6, 4},
     .what = "frames of padding"},
    {.options = {.stride = {2, 1, 1}, .pad_front = {0, 0, 3}, .pad_back = {0, 0, 3}},
     .x = {1, 3, 9, 40, 3},
     .w = {16, 1, 9, 9, 3},
     .what = "more columns than a block's"},
};

TEST(Conv3dStemDevice, Ragged) {
  for (const ConvolutionRun& row : ragged)
    each_product(row, [](ConvolutionRun r) {
      r.plan = stem();
      expect_stem(r);
      expect_forward(r);
    });
}

}  // namespace
}  // namespace kinema::test
