#include "tests/support/conv3d_device.h"

// 1x1x1: forward and grad_input of every type, by blocks that go from tile to tile.

namespace kinema::test {
namespace {

/// Ragged in pixels and columns; `depth` channels go in, 70 come out.
ConvolutionRun ragged(Dtype type, int64_t depth, Layout layout = Layout::fresh) {
  return {.x = {2, 3, small() ? 7 : 13, 11, depth},
          .w = {70, 1, 1, 1, depth},
          .type = type,
          .plan = {.algorithm = int(kernels::Conv3dAlgorithm::pointwise)},
          .layout = layout,
          .what = "1x1x1"};
}

void expect_both(const ConvolutionRun& run, const Extras& extras = {},
                 const GradExtras& grad_extras = {}) {
  expect_forward(run, extras);
  expect_grad_input(run, grad_extras);
}

ConvolutionRun as_tf32(ConvolutionRun run) {
  run.options.tf32 = true;
  return run;
}

TEST(Conv3dPointwiseDevice, AllTypes) {
  for (Dtype type : device_types) expect_both(ragged(type, 37), all_extras, all_grad_extras);
  expect_both(as_tf32(ragged(Dtype::f32, 37)), all_extras, all_grad_extras);
}

TEST(Conv3dPointwiseDevice, NoBankConflicts) {
  for (Dtype type : {Dtype::bf16, Dtype::f32}) {
    const ConvolutionRun run = as_tf32(ragged(type, 100));
    EXPECT_EQ(bank_conflicts([&] { expect_both(run); }), 0) << type;
  }
}

/// Forward by so many stages, on the GPUs whose shared memory holds them.
void expect_by_stages(ConvolutionRun run, int stages) {
  run.plan.stages = stages;
  const kernels::Conv3dPlanScope scope(run.plan);
  const std::vector<Array> arrays{
      random_array(run.x, run.type, 1), random_array(run.w, run.type, 2),
      Array(kernels::conv3d_output(run.options, run.x, run.w), run.type)};
  const auto pass = [&](const kernels::Conv3d& op) -> Pass {
    return [&](Stream s, const std::vector<View>& v) {
      op.forward(s, run.options, v[0], v[1], v[2], {});
    };
  };
  const Array expected = on_host(arrays, pass(kernels::conv3d_reference)).back();
  for (const DeviceRun& device : device_runs()) {
    const std::shared_ptr<void> inside = device.enter();
    if (device.runtime->gpu().shared_per_block < 200 << 10) continue;
    const Array y = on_device(device, arrays, pass(conv3d_here())).back();
    // As expect_forward has it.
    const double bound = 1e-5 + (kernels::is_narrow(run.type) ? epsilon_of(run.type) : 0);
    EXPECT_LE(error(y, expected), bound)
        << run.x << ' ' << run.type << ", " << stages << " stages, " << device.name;
  }
}

/// One step of the depth, two, and three, by rings whose stages they divide, so that the weights
/// stay, and do not.
TEST(Conv3dPointwiseDevice, WeightsThatStayAndOthers) {
  for (int64_t steps : {1, 2, 3})
    for (int stages : {2, 3, 4, 5}) {
      if (small() && steps + stages != 5) continue;
      expect_by_stages(ragged(Dtype::bf16, 64 * steps - 10), stages);
      expect_by_stages(ragged(Dtype::f32, 32 * steps - 3), stages);
    }
}

TEST(Conv3dPointwiseDevice, AnyLayout) {
  for (Layout layout : {Layout::odd_slice, Layout::slice, Layout::strided}) {
    expect_both(ragged(Dtype::f16, 72, layout), all_extras, all_grad_extras);
    expect_both(ragged(Dtype::f32, 36, layout), all_extras, all_grad_extras);
  }
  expect_both(as_tf32(ragged(Dtype::f32, 36, Layout::odd_slice)));
}

/// Forward skips pixels; grad_input writes those that no result reads: phases without a sum.
TEST(Conv3dPointwiseDevice, Strides) {
  for (Dtype type : {Dtype::bf16, Dtype::f32}) {
    ConvolutionRun run = ragged(type, 40);
    run.options.stride = {1, 2, 2};
    expect_both(run, all_extras, all_grad_extras);
    expect_grad_input(run);
    run.options.stride = {2, 3, 20};
    run.layout = Layout::odd_slice;
    expect_both(run, {}, {.accumulate = true});
  }
}

TEST(Conv3dPointwiseDevice, Groups) {
  for (Dtype type : {Dtype::f16, Dtype::f32}) {
    ConvolutionRun run = ragged(type, 24);
    run.options.groups = 3;
    run.w = {75, 1, 1, 1, 8};
    expect_both(run, all_extras, all_grad_extras);
  }
}

/// Each pixel is read and written once; weights that stay are read for each stage of a block, of
/// which 4 multiprocessors have 8.
TEST(Conv3dPointwiseDevice, TrafficIsThatOfTheTensors) {
  const Shape x{1, 1, 50, 100, 64}, w{16, 1, 1, 1, 64}, y{1, 1, 50, 100, 16};
  kernels::Conv3dOverride plan = ragged(Dtype::bf16, 64).plan;
  plan.stages = 3;
  const kernels::Conv3dPlanScope scope(plan);
  const int64_t wide = x.size() * 2, narrow = y.size() * 2, weights = 8 * 3 * w.size() * 2;
  expect_traffic(
      {random_array(x, Dtype::bf16), random_array(w, Dtype::bf16), Array(y, Dtype::bf16)},
      [](Stream s, const std::vector<View>& v) {
        conv3d_here().forward(s, {}, v[0], v[1], v[2], {});
      },
      {.read = wide + weights, .written = narrow}, "forward");
  expect_traffic(
      {random_array(y, Dtype::bf16), random_array(w, Dtype::bf16), Array(x, Dtype::bf16)},
      [](Stream s, const std::vector<View>& v) {
        conv3d_here().grad_input(s, {}, v[0], v[1], v[2], {});
      },
      {.read = narrow + weights, .written = wide}, "grad_input");
}

/// A tensor whose clips lie far apart, in memory that others share: on a GPU 2^31 elements and
/// some, so that offsets pass 2^32.
class Spread {
 public:
  Spread(const DeviceRun& run, std::shared_ptr<void> memory, const Array& a, int64_t first)
      : runtime_(*run.runtime), memory_(std::move(memory)), array_(a.clone()), view_(a.view) {
    view_.data = static_cast<char*>(memory_.get()) + first * size_of(view_.dtype);
    view_.strides[0] = apart(run);
    each_clip(
        [&](void* host, void* device, int64_t bytes) { runtime_.upload({}, host, device, bytes); });
  }
  static int64_t apart(const DeviceRun& run) {
    return run.backend == Backend::cuda ? (int64_t(1) << 31) + 8 : 4096;
  }
  const View& view() const { return view_; }
  Array read() {
    each_clip([&](void* host, void* device, int64_t bytes) {
      runtime_.download({}, device, host, bytes);
    });
    return array_;
  }

 private:
  template <class F>
  void each_clip(F f) {
    for (int64_t n = 0; n < view_.shape[0]; ++n)
      f(array_.view.slice(0, n, 1).data, view_.slice(0, n, 1).data,
        array_.view.stride(0) * size_of(view_.dtype));
  }
  const kernels::Runtime& runtime_;
  std::shared_ptr<void> memory_;
  Array array_;
  View view_;
};

void expect_far_clips(kernels::Conv3dAlgorithm algorithm, Dtype type) {
  const DeviceRun& run = device_runs().front();
  const std::shared_ptr<void> inside = run.enter();
  const auto allocate = [&](int64_t bytes) {
    return std::shared_ptr<void>(run.runtime->allocate(bytes), run.runtime->release);
  };
  const kernels::Conv3dPlanScope scope({.algorithm = int(algorithm)});
  const Array x = random_array({3, 2, 6, 7, 8}, type, 1), w = random_array({16, 1, 1, 1, 8}, type),
              y = random_array({3, 2, 6, 7, 16}, type, 2);
  const auto memory = allocate(3 * Spread::apart(run) * size_of(type)),
             weights = allocate(int64_t(w.memory->size()));
  run.runtime->upload({}, w.view.data, weights.get(), int64_t(w.memory->size()));
  View filter = w.view;
  filter.data = weights.get();
  const auto results = [&](bool back) -> std::pair<Array, Array> {
    Spread source(run, memory, back ? y : x, 0), result(run, memory, back ? x : y, 2048);
    const auto pass = [&](const kernels::Conv3d& op, View from, View by, View to) {
      back ? op.grad_input({}, {}, from, by, to, {}) : op.forward({}, {}, from, by, to, {});
    };
    pass(conv3d_here(), source.view(), filter, result.view());
    run.runtime->synchronize({});
    const Pass reference = [&](Stream, const std::vector<View>& v) {
      pass(kernels::conv3d_reference, v[0], v[1], v[2]);
    };
    return {result.read(), on_host({back ? y : x, w, back ? x : y}, reference).back()};
  };
  for (bool back : {false, true}) {
    const auto [got, wanted] = results(back);
    EXPECT_LE(error(got, wanted), 1e-5 + (kernels::is_narrow(type) ? epsilon_of(type) : 0));
  }
}

TEST(Conv3dPointwiseDevice, ClipsLieAnyDistanceApart) {
  expect_far_clips(kernels::Conv3dAlgorithm::pointwise, Dtype::bf16);
  expect_far_clips(kernels::Conv3dAlgorithm::gemm, Dtype::f32);
}

TEST(Conv3dPointwiseDevice, Edges) {
  const kernels::Conv3dOverride plan = ragged(Dtype::f32, 1).plan;
  for (Dtype type : device_types)
    for (const auto& [x, w] : {std::pair<Shape, Shape>{{0, 2, 3, 3, 4}, {5, 1, 1, 1, 4}},
                               {{1, 2, 3, 3, 0}, {4, 1, 1, 1, 0}},
                               {{1, 2, 3, 3, 4}, {0, 1, 1, 1, 4}},
                               {{1, 1, 1, 1, 1}, {1, 1, 1, 1, 1}},
                               {{1, 1, 1, 200, 1}, {1, 1, 1, 1, 1}}})
      expect_both({.x = x, .w = w, .type = type, .plan = plan, .what = "edge"});
}

}  // namespace
}  // namespace kinema::test
