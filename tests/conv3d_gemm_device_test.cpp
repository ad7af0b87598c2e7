#include <sys/mman.h>
#include <cmath>
#include <limits>
#include "tests/support/conv3d_device.h"

// The implicit product of forward and grad_input by tensor cores.

namespace kinema::test {
namespace {

using kernels::Conv3dAlgorithm, kernels::Conv3dOptions, kernels::Conv3dOverride;

constexpr Conv3dOverride gemm(int columns, int stages = 3, int splits = 1) {
  return {int(Conv3dAlgorithm::gemm), columns, stages, splits};
}

/// f32 as TF32, which has no tiles of 32 columns.
ConvolutionRun on_tensor_cores(ConvolutionRun r) {
  r.options.tf32 = r.type == Dtype::f32;
  if (r.type == Dtype::f32 && r.plan.columns == 32) r.plan.columns = 64;
  return r;
}
/// Once, warp by warp.
ConvolutionRun once(ConvolutionRun r) {
  r.runs = {device_runs().front()};
  return r;
}

/// Both passes, with everything that their epilogues have.
void expect_both(const ConvolutionRun& r) {
  expect_forward(r, all_extras);
  expect_grad_input(r, all_grad_extras);
}

TEST(Conv3dGemmDevice, Cases) {
  int number = 0;
  for (const kernels::Conv3dCase& c : kernels::conv3d_cases) {
    if (std::string(c.tag) != "ci" || c.options.groups > 20) continue;
    const Dtype type = device_types[number++ % 3];
    const ConvolutionRun r = once(on_tensor_cores(run_of(c, type, gemm(number % 2 ? 32 : 64))));
    if (small() && r.x.size() * r.w[0] > 100000) continue;
    expect_both(r);
  }
}

/// Every kernel, bare and with everything: shapes of several tiles of all, and rests of each.
TEST(Conv3dGemmDevice, Tiles) {
  for (int columns : {128, 96, 64, 32})
    for (Dtype type : device_types) {
      if (type == Dtype::f32 && columns % 64 != 0) continue;
      const int64_t out = columns + 9;
      const ConvolutionRun r =
          on_tensor_cores({.options = {.stride = {1, 2, 1}, .pad_front = {0, 0, 2}},
                           .x = {1, 3, 5, 11, 75},
                           .w = {out, 1, 3, 2, 75},
                           .type = type,
                           .plan = gemm(columns),
                           .what = "tiles"});
      expect_both(type == Dtype::bf16 ? r : once(r));
      expect_forward(once(r));
      expect_grad_input(once(r));
    }
}

/// All phases of strides, with dilations that leave some of them without taps.
TEST(Conv3dGemmDevice, Phases) {
  for (const Conv3dOptions& o :
       {Conv3dOptions{.stride = {2, 3, 2}, .pad_front = {2, 0, 1}, .pad_back = {0, 2, 3}},
        Conv3dOptions{.stride = {3, 2, 1}, .dilation = {3, 2, 2}, .pad_front = {1, 1, 2}},
        Conv3dOptions{.stride = {2, 2, 3}, .dilation = {3, 4, 2}, .pad_front = {3, 1, 0}},
        Conv3dOptions{.stride = {1, 5, 6}, .pad_back = {0, 4, 1}}})
    for (Dtype type : {Dtype::bf16, Dtype::f32})
      expect_both(once(on_tensor_cores({.options = o,
                                        .x = {2, 7, 9, 10, 9},
                                        .w = {11, 2, 3, 4, 9},
                                        .type = type,
                                        .plan = gemm(32),
                                        .what = "phases"})));
}

TEST(Conv3dGemmDevice, Layouts) {
  for (Layout layout : {Layout::odd_slice, Layout::slice, Layout::strided})
    for (Dtype type : device_types)
      for (int64_t groups : {1, 2})
        expect_both(once(on_tensor_cores(
            {.options = {.pad_front = {1, 0, 1}, .pad_back = {0, 0, 1}, .groups = groups},
             .x = {3, 2, 4, 5, 22 * groups},
             .w = {18 * groups, 2, 1, 3, 22},
             .type = type,
             .plan = gemm(32),
             .layout = layout,
             .what = "layouts"})));
}

/// A frame has more pixels than a tile, so that taps in t are left out at the first and last ones.
TEST(Conv3dGemmDevice, FramesOutside) {
  for (int64_t taps : {3, 5})
    expect_both(once({.options = {.pad_front = {taps - 1, 0, 0}, .pad_back = {taps, 0, 0}},
                      .x = {2, 3, 9, 17, 8},
                      .w = {8, taps, 1, 1, 8},
                      .type = Dtype::bf16,
                      .plan = gemm(32),
                      .what = "frames outside"}));
}

TEST(Conv3dGemmDevice, Stages) {
  for (int stages : {2, 4, 5})
    expect_both({.options = {.pad_front = {1, 0, 0}},
                 .x = {1, 2, 7, 10, 80},
                 .w = {40, 2, 2, 1, 80},
                 .type = Dtype::f16,
                 .plan = gemm(32, stages),
                 .what = "stages",
                 .runs = random_runs(small() ? 1 : 3)});
}

/// Parts of unequal length; of some phases, fewer steps than splits.
TEST(Conv3dGemmDevice, Splits) {
  for (Dtype type : device_types)
    for (int splits : {2, 7})
      expect_both(on_tensor_cores({.options = {.stride = {1, 1, 2}, .pad_front = {0, 1, 1}},
                                   .x = {1, 2, 7, 11, 70},
                                   .w = {66, 2, 3, 3, 70},
                                   .type = type,
                                   .plan = gemm(64, 3, splits),
                                   .what = "splits",
                                   .runs = {every_run_twice().front(), every_run_twice().back()}}));
}

/// Parts of an epilogue alone: each branch with and without.
TEST(Conv3dGemmDevice, PartsOfEpilogues) {
  const ConvolutionRun r = once({.x = {1, 2, 3, 5, 9},
                                 .w = {13, 2, 2, 1, 9},
                                 .type = Dtype::bf16,
                                 .plan = gemm(32),
                                 .what = "parts of epilogues"});
  for (const Extras& e : {Extras{.bias = true}, Extras{.scale = true}, Extras{.shift = true},
                          Extras{.residual = true}, Extras{.relu = true}, Extras{.partials = true}})
    expect_forward(r, e);
  for (const GradExtras& e :
       {GradExtras{.accumulate = true}, GradExtras{.mask = true}, GradExtras{.sums = true}})
    expect_grad_input(r, e);
}

/// NaN and infinity reach what they are factors of and nothing else, and pass a ReLU and a mask.
TEST(Conv3dGemmDevice, NotNumbers) {
  const Conv3dOptions o{.pad_front = {0, 1, 1}, .pad_back = {0, 1, 1}};
  Array x = random_array({1, 1, 9, 9, 8}, Dtype::bf16, 1),
        w = random_array({8, 1, 3, 3, 8}, Dtype::bf16, 2);
  auto values = x.values();
  values[8 * 20 + 3] = std::numeric_limits<double>::quiet_NaN();
  values[8 * 60 + 5] = std::numeric_limits<double>::infinity();
  values[8 * 30 + 1] = 0;  // as a mask: not above 0
  x.set(values);
  const Array y({1, 1, 9, 9, 8}, Dtype::bf16);
  const kernels::Conv3dPlanScope scope(gemm(32));
  const auto expect = [&](const std::vector<Array>& arrays, const auto& pass) {
    expect_op_matches(kernels::conv3d_reference, &kernels::conv3d_cuda, &kernels::conv3d_emulated,
                      arrays, pass, {input, input, 1e-5}, "conv3d of NaN");
  };
  expect({x, w, y}, [&](const kernels::Conv3d& op) -> Pass {
    return [&](Stream s, const std::vector<View>& v) {
      op.forward(s, o, v[0], v[1], v[2], {.relu = true});
    };
  });
  expect({x, w, y}, [&](const kernels::Conv3d& op) -> Pass {
    return [&](Stream s, const std::vector<View>& v) {
      op.grad_input(s, o, v[0], v[1], v[2], {.mask = v[0]});
    };
  });
}

TEST(Conv3dGemmDevice, NoBankConflicts) {
  for (int columns : {128, 96, 64, 32})
    for (Dtype type : {Dtype::bf16, Dtype::f32}) {
      if (type == Dtype::f32 && columns % 64 != 0) continue;
      const ConvolutionRun r = once(on_tensor_cores({.x = {1, 2, 8, 8, 64},
                                                     .w = {96, 1, 1, 2, 64},
                                                     .type = type,
                                                     .plan = gemm(columns),
                                                     .what = "bank conflicts"}));
      EXPECT_EQ(bank_conflicts([&] { expect_both(r); }), 0) << columns << ' ' << type;
    }
}

/// Memory that is only there where it is touched: on the host, so that a few pages of tensors past
/// 2^31 elements serve; on a GPU all of it.
std::shared_ptr<void> vast(const DeviceRun& run, int64_t bytes) {
  if (run.backend == Backend::cuda) return {run.runtime->allocate(bytes), run.runtime->release};
  void* memory = mmap(nullptr, size_t(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  EXPECT_NE(memory, MAP_FAILED);
  return {memory, [bytes](void* p) { munmap(p, size_t(bytes)); }};
}

/// Clips and rows of pixels that lie more than 2^31 elements apart.
TEST(Conv3dGemmDevice, Past2To31Elements) {
  const DeviceRun& run = device_runs().front();
  const std::shared_ptr<void> scope = run.enter();
  const kernels::Conv3dPlanScope plan(gemm(32));
  const Conv3dOptions o{.stride = {1, 1, 2}, .pad_front = {1, 0, 1}, .pad_back = {1, 0, 1}};
  const Shape shape{2, 3, 2, 5, 8}, w_shape{8, 3, 1, 3, 8};
  const Shape y_shape = kernels::conv3d_output(o, shape, w_shape);
  constexpr int64_t clip = (int64_t(1) << 32) + 64, frame = (int64_t(1) << 30) + 8;
  const auto far = [&](const Shape& s, const std::shared_ptr<void>& memory) {
    View v = kernels::fresh_layout(Dtype::bf16, s);
    v.strides[0] = clip, v.strides[1] = frame;
    v.data = memory.get();
    return v;
  };
  const auto copy = [&](const View& v, const View& host, bool up) {
    const int64_t bytes = v.shape[2] * v.stride(2) * 2;
    for (int64_t n = 0; n < v.shape[0]; ++n)
      for (int64_t t = 0; t < v.shape[1]; ++t) {
        void* const there = v.slice(0, n, 1).slice(1, t, 1).data;
        void* const here = host.slice(0, n, 1).slice(1, t, 1).data;
        if (up)
          run.runtime->upload({}, here, there, bytes);
        else
          run.runtime->download({}, there, here, bytes);
      }
  };
  const auto x_memory = vast(run, 4 * clip), y_memory = vast(run, 4 * clip),
             w_memory = vast(run, 1 << 12);
  const View x = far(shape, x_memory), y = far(y_shape, y_memory);
  View w = kernels::fresh_layout(Dtype::bf16, w_shape);
  w.data = w_memory.get();
  const Array x_values = random_array(shape, Dtype::bf16, 1),
              w_values = random_array(w_shape, Dtype::bf16, 2);
  copy(x, x_values.view, true);
  run.runtime->upload({}, w_values.view.data, w.data, int64_t(w_values.memory->size()));
  const auto& op = conv3d_here();
  const auto& reference = kernels::conv3d_reference;
  const double bound = 1e-5 + epsilon_of(Dtype::bf16);

  op.forward({}, o, x, w, y, {});
  Array y_values(y_shape, Dtype::bf16);
  copy(y, y_values.view, false);
  const Array wanted =
      on_host({x_values, w_values, Array(y_shape, Dtype::bf16)}, [&](Stream s,
                                                                     const std::vector<View>& v) {
        reference.forward(s, o, v[0], v[1], v[2], {});
      }).back();
  EXPECT_LE(error(y_values, wanted), bound);

  op.grad_input({}, o, y, w, x, {.accumulate = true});
  Array dx_values(shape, Dtype::bf16);
  copy(x, dx_values.view, false);
  const Array dx_wanted =
      on_host({y_values, w_values, x_values}, [&](Stream s, const std::vector<View>& v) {
        reference.grad_input(s, o, v[0], v[1], v[2], {.accumulate = true});
      }).back();
  EXPECT_LE(error(dx_values, dx_wanted), bound);
}

}  // namespace
}  // namespace kinema::test
