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
      if (r.type == Dtype::f16) return;  // takes long; as bf16
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
    if (r.type == Dtype::f16) return;
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
    });
}

/// Few filters, which march along T: any number of the filter's frames, clips that a block begins
/// in the middle of, frames of y that nothing of x reaches.
TEST(Conv3dStemDevice, March) {
  for (int taps : {2, 4, 5})
    each_product(
        {.options = {.stride = {1, 1, 2}, .pad_front = {3, 1, 1}, .pad_back = {taps, 0, 1}},
         .x = {2, 4, 7, 21, 3},
         .w = {taps, taps, 3, 3, 3},
         .what = "march"},
        [](ConvolutionRun r) {
          r.plan = stem(8);
          expect_forward(r, all_extras);
          r.plan = stem();
          expect_grad_weight(r);
        });
}

/// Every kernel, whether a plan would choose it or not; several blocks of columns; one part and
/// many of grad_weight, added to what is there.
TEST(Conv3dStemDevice, Tiles) {
  ConvolutionRun run = {.options = {.stride = {1, 2, 1}, .pad_front = {1, 0, 2}},
                        .x = {1, 3, 9, 27, 3},
                        .w = {70, 2, 3, 3, 3},
                        .what = "tiles"};
  each_product(run, [](ConvolutionRun r) {
    for (int columns : {64, 32}) {
      r.plan = stem(columns);
      expect_forward(r, {.bias = true, .partials = true});
    }
    for (int splits : {1, 3}) {
      r.plan = stem(0, splits);
      expect_grad_weight(r, true);
    }
  });
}

/// y among the channels of a wider tensor, x as frames and clips of a longer one.
TEST(Conv3dStemDevice, Slices) {
  for (Layout layout : {Layout::odd_slice, Layout::slice, Layout::strided})
    for (Dtype type : device_types)
      for (int filters : {8, 19})
        expect_stem({.options = {.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}},
                     .x = {2, 3, 5, 11, 3},
                     .w = {filters, 3, 3, 3, 3},
                     .type = type,
                     .plan = stem(),
                     .layout = layout,
                     .layout_of_x = Layout::strided,
                     .what = "slices"});
}

/// What is not a number reaches the pixels whose window it lies in, and no others: words of the
/// filter's rows have neighbours beside them, tiles have pixels that y has not.
TEST(Conv3dStemDevice, NotANumber) {
  for (const int64_t stride : {1, 2})
    for (const int64_t pad : {0, 1})
      for (Dtype type : device_types) {
        const Conv3dOptions o{.stride = {1, 1, stride}, .pad_front = {0, 0, pad}};
        const Shape x_shape{1, 2, 3, 14, 3}, w_shape{4, 1, 2, 3, 3};
        Array x = random_array(x_shape, type);
        std::vector<double> values = x.values();
        values[5 * 3 + 1] = NAN;
        values[(14 * 3 + 9) * 3] = INFINITY;
        values[14 * 3 - 1] = -INFINITY;
        x.set(values);
        const Shape y = kernels::conv3d_output(o, x_shape, w_shape);
        const kernels::Conv3dPlanScope scope(stem());
        expect_op_matches(
            kernels::conv3d_reference, &kernels::conv3d_cuda, &kernels::conv3d_emulated,
            {x, random_array(w_shape, type, 2), random_array(y, type, 3), Array(y, type),
             Array(w_shape, Dtype::f32)},
            [&](const Conv3d& op) -> Pass {
              return [&](Stream s, const std::vector<View>& v) {
                op.forward(s, o, v[0], v[1], v[3], {});
                op.grad_weight(s, o, v[0], v[2], v[4], false);
              };
            },
            {input, input, input, 1e-5, 1e-5}, "not a number");
      }
}

TEST(Conv3dStemDevice, BankConflicts) {
  EXPECT_EQ(bank_conflicts([] {
              for (const int64_t filters : {8, 64})
                expect_stem({.options = {.stride = {1, 2, 2}, .pad_front = {2, 3, 3}},
                             .x = {1, 3, 15, 31, 3},
                             .w = {filters, 3, 7, 7, 3},
                             .type = Dtype::bf16,
                             .plan = stem(),
                             .runs = {device_runs().front()}});
            }),
            0);
}

TEST(Conv3dStemDevice, RefusesOtherPixels) {
  const ConvolutionRun run = {.x = {1, 1, 3, 3, 3}, .w = {5, 1, 1, 1, 3}, .plan = stem()};
  ConvolutionRun sliced = run, dilated = run, wide = run;
  sliced.layout = Layout::odd_slice;
  dilated.options.dilation = {1, 1, 2};
  wide.x = {1, 1, 3, 3, 5};
  wide.w = {5, 1, 1, 1, 5};
  const auto why = [](const ConvolutionRun& r) { return refusal_of([&] { expect_forward(r); }); };
  EXPECT_EQ(why(run), "");
  const std::string pixels = "conv3d: stem takes pixels of at most 4 channels, side by side, got ";
  EXPECT_EQ(why(sliced).substr(0, pixels.size()), pixels);
  EXPECT_EQ(why(wide).substr(0, pixels.size()), pixels);
  const std::string dilation = "conv3d: stem takes no dilation of W, got ";
  EXPECT_EQ(why(dilated).substr(0, dilation.size()), dilation);
}

}  // namespace
}  // namespace kinema::test
