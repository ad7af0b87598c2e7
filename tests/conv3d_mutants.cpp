// Each fault that conv3d_mutants.json plants in the kernels must be found by one of these cases, as
// a wrong result or a report of the emulation; without a fault none may fail. A process a mutant,
// so that one that crashes is one that was found.
#include <gtest/gtest-spi.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <cstdio>
#include "tests/support/conv3d_device.h"
#include "tests/support/mutants.h"

namespace kinema::test {
namespace {

using kernels::Conv3dAlgorithm;

struct Trial {
  const char* file;  ///< its mutants, and those of files that all share, are looked for by this
  std::function<void()> run;
};

ConvolutionRun layer(Dtype type, Conv3dAlgorithm algorithm, int columns, int stages, int splits) {
  return {.options = {.stride = {1, 2, 1}, .pad_front = {1, 0, 2}, .tf32 = true},
          .x = {1, 3, 5, 11, 75},
          .w = {136, 2, 3, 2, 75},
          .type = type,
          .plan = {int(algorithm), columns, stages, splits},
          .what = "layer"};
}
void expect_both(const ConvolutionRun& r) {
  expect_forward(r, all_extras);
  expect_grad_input(r, all_grad_extras);
}

std::vector<Trial> trials() {
  using enum Conv3dAlgorithm;
  constexpr Dtype f32 = Dtype::f32, bf16 = Dtype::bf16;
  const auto exact = [](ConvolutionRun r) {
    r.options.tf32 = false;
    return r;
  };
  const auto expect_groups = [](int64_t channels) {
    ConvolutionRun r{
        .options = {.stride = {1, 2, 1}, .pad_front = {1, 1, 1}, .groups = 24 / channels},
        .x = {1, 3, 7, 9, 24},
        .w = {24, 3, 3, 3, channels},
        .type = bf16,
        .plan = {.algorithm = int(channels == 1 ? depthwise : grouped)},
        .what = "groups"};
    expect_both(r);
    expect_grad_weight(r, true);
  };
  const auto stem_layer = [](Dtype type, int64_t filters, int64_t frames) {
    return ConvolutionRun{.options = {.stride = {1, 2, 1}, .pad_front = {1, 1, 2}, .tf32 = true},
                          .x = {1, filters == 8 ? 16 : 4, 9, 13, 3},
                          .w = {filters, frames, 3, 5, 3},
                          .type = type,
                          .plan = {.algorithm = int(stem), .columns = filters == 8 ? 8 : 0},
                          .what = "stem"};
  };
  ConvolutionRun same = layer(bf16, halo, 0, 0, 0), few = same,
                 point = layer(bf16, pointwise, 0, 0, 0);
  same.options = {.pad_front = {1, 0, 1}, .pad_back = {0, 1, 2}};
  few.options = {.pad_front = {1, 0, 0}};
  few.x[4] = few.w[4] = 40;
  few.w = {16, 3, 1, 1, 40};
  point.w = {136, 1, 1, 1, 75};
  point.options.pad_front = {0, 0, 0};
  ConvolutionRun slices = layer(bf16, gemm, 64, 2, 1), pixels = layer(bf16, gemm, 128, 2, 1);
  slices.layout = Layout::odd_slice;
  pixels.x = {2, 5, 25, 25, 24};  // several runs of pixels
  pixels.w = {24, 1, 2, 2, 24};
  return {{"conv3d_gemm", [] { expect_both(layer(bf16, gemm, 128, 3, 1)); }},
          {"conv3d_gemm", [] { expect_both(layer(f32, gemm, 64, 2, 2)); }},
          {"conv3d_gemm", [=] { expect_both(slices); }},
          {"conv3d_halo", [=] { expect_both(same); }},
          {"conv3d_halo", [=] { expect_forward(few, all_extras); }},
          {"conv3d_pointwise", [=] { expect_both(point); }},
          {"conv3d_stem", [=] { expect_forward(stem_layer(bf16, 33, 2), all_extras); }},
          {"conv3d_stem", [=] { expect_forward(stem_layer(f32, 8, 5), all_extras); }},
          {"conv3d_stem", [=] { expect_grad_weight(stem_layer(bf16, 33, 2), true); }},
          {"conv3d_grouped", [=] { expect_groups(1); }},
          {"conv3d_grouped", [=] { expect_groups(8); }},
          {"conv3d_fma", [=] { expect_both(exact(layer(f32, gemm, 64, 3, 2))); }},
          {"conv3d_grad_weight", [] { expect_grad_weight(layer(bf16, gemm, 128, 2, 1), true); }},
          {"conv3d_grad_weight", [=] { expect_grad_weight(pixels); }},
          {"conv3d_grad_weight", [] { expect_grad_weight(layer(f32, gemm, 64, 2, 2)); }},
          {"conv3d_grad_weight", [=] { expect_grad_weight(exact(layer(f32, gemm, 64, 2, 2))); }}};
}

/// True if one of the trials for mutants of `file` fails.
bool found(const std::string& file) {
  testing::TestPartResultArray failures;
  testing::ScopedFakeTestPartResultReporter reporter(
      testing::ScopedFakeTestPartResultReporter::INTERCEPT_ALL_THREADS, &failures);
  const std::vector<Trial> all = trials();
  const auto is_for = [&](const Trial& trial) { return file.rfind(trial.file, 0) == 0; };
  const bool shared = std::none_of(all.begin(), all.end(), is_for);
  for (const Trial& trial : all) {
    if (!shared && !is_for(trial)) continue;
    try {
      trial.run();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
      return true;
    }
    for (int i = 0; i < failures.size(); ++i) {
      if (!failures.GetTestPartResult(i).failed()) continue;
      std::fprintf(stderr, "%s\n", failures.GetTestPartResult(i).message());
      return true;
    }
  }
  return false;
}

/// found() in a process of its own.
bool found_apart(int number) {
  const pid_t child = fork();
  if (child == 0) {
    mutant = number;
    if (number && !std::freopen("/dev/null", "w", stderr)) _exit(2);
    _exit(found(number ? mutants[size_t(number) - 1].file : "") ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status != 0;
}

TEST(Conv3dMutants, NothingIsFoundWithoutAFault) { EXPECT_FALSE(found_apart(0)); }

TEST(Conv3dMutants, EveryFaultIsFound) {
  for (size_t i = 0; i < mutants.size(); ++i)
    EXPECT_TRUE(found_apart(int(i) + 1)) << mutants[i].file << ": " << mutants[i].what;
}

}  // namespace
}  // namespace kinema::test
