// labels: ci, emulated
// Whole trainings on a GPU, which the emulation is: its memory, its stream, one step in flight.
#include "engine/gpu.h"
#include "kernels/device/emulation/stream.h"
#include "tests/support/training.h"

namespace kinema::test {
namespace {

class GpuTraining : public TrainingTest {
 protected:
  static void SetUpTestSuite() {
    use_gpu(kernels::runtime_emulated, Backend::emulated);
    TrainingTest::SetUpTestSuite();
  }
  /// One epoch of three steps.
  static Training::Setting setting(Dtype precision = Dtype::f32) {
    Training::Setting s;
    s.ema = 0.9;
    s.precision = precision;
    s.options.epochs = 1;
    s.options.clip_norm = 0.5;
    s.options.mixup = 0.4;
    return s;
  }
  static std::unique_ptr<Training> made(Device device, const Training::Setting& s) {
    const DeviceScope scope(device);
    return std::make_unique<Training>(set_, s);
  }
};

/// The same dropout, mixtures, clipping, statistics and averages: sums alone differ. 1e-3 of the
/// largest weight is a hundred times what three steps in f32 leave, and a tenth of what one moves.
TEST_F(GpuTraining, LearnsWhatACpuDoes) {
  for (bool adamw : {false, true}) {
    Training::Setting s = setting();
    s.adamw = adamw;
    s.rate = adamw ? 0.01 : 0.1;
    const auto cpu = made(Device::cpu, s), gpu = made(Device::gpu, s);
    const Floats before = cpu->weights();
    cpu->go();
    gpu->go();
    ASSERT_EQ(gpu->heard.steps.size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(gpu->heard.steps[i].loss, cpu->heard.steps[i].loss, 1e-3);
      EXPECT_NEAR(gpu->heard.steps[i].gradient_norm, cpu->heard.steps[i].gradient_norm,
                  1e-3 * cpu->heard.steps[i].gradient_norm);
    }
    const auto near = [](const Floats& a, const Floats& b) {
      return error(from_vector<float>({int64_t(a.size())}, a),
                   from_vector<float>({int64_t(b.size())}, b));
    };
    EXPECT_LE(near(gpu->weights(), cpu->weights()), 1e-3);
    EXPECT_LE(near(gpu->statistics(), cpu->statistics()), 1e-3);
    EXPECT_GE(near(before, cpu->weights()), 1e-2);
    EXPECT_NEAR(gpu->result.last.val_loss, cpu->result.last.val_loss, 1e-3);
  }
}

TEST_F(GpuTraining, OverflowsAreSkipped) {
  const auto gpu = made(Device::gpu, setting(Dtype::f16));
  gpu->scale.restore({{"factor", 0x1p32}, {"good_steps", 0}, {"skipped_steps", 0}});
  const Floats before = gpu->weights(), statistics = gpu->statistics();
  gpu->go();
  EXPECT_EQ(gpu->result.skipped, 3);
  EXPECT_EQ(gpu->scale.factor(), 0x1p29);
  EXPECT_EQ(gpu->weights(), before);
  EXPECT_EQ(gpu->statistics(), statistics);
}

TEST_F(GpuTraining, AFaultIsNamedAndNothingApplied) {
  const auto gpu = made(Device::gpu, setting());
  fill(gpu->net.classify.bias, INFINITY);
  const Floats before = gpu->weights(), statistics = gpu->statistics();
  EXPECT_EQ(refusal([&] { gpu->go(); }),
            "train: at step 1 weight classify.bias [3] holds Inf; weights and checkpoints are as "
            "before it; try a lower --lr or --clip-norm");
  EXPECT_EQ(gpu->weights(), before);
  EXPECT_EQ(gpu->statistics(), statistics);
}

/// Whatever the run holds on the device is let go without a word, and no checkpoint is written.
TEST_F(GpuTraining, ALostDeviceLeavesTheLastCheckpoint) {
  namespace emulation = kernels::device::emulation;
  const Folder where;
  RunFolder folder(where / "run", {});
  Training::Setting s = setting();
  s.options.epochs = 2;
  int steps = 0;
  s.after_step = [&] {
    const auto fault = [] { kernels::fail("kernel: an illegal address"); };
    if (++steps == 4) emulation::enqueue(current_stream(), fault);
  };
  {
    const auto gpu = made(Device::gpu, s);
    EXPECT_THROW(gpu->go(&folder), kernels::DeviceLost);
  }
  emulation::reset_device();
  Checkpoint checkpoint = read_checkpoint(where / "run/last.safetensors");
  EXPECT_EQ(checkpoint.run["progress"]["step"], 3);
  s.after_step = [] {};
  const auto again = made(Device::gpu, s);
  again->go(nullptr, &checkpoint);
  EXPECT_EQ(again->result.steps, 6);
}

TEST_F(GpuTraining, IsTakenUpAgainBitForBit) {
  Training::Setting s = setting();
  const auto whole = made(Device::gpu, s);
  whole->go();
  const Folder where;
  RunFolder folder(where / "run", {});
  int left = 2;
  s.options.stop = [&] { return --left == 0; };
  const auto first = made(Device::gpu, s);
  first->go(&folder);
  EXPECT_EQ(first->result.steps, 2);
  Checkpoint checkpoint = read_checkpoint(where / "run/last.safetensors");
  const auto second = made(Device::gpu, setting());
  second->go(nullptr, &checkpoint);
  EXPECT_EQ(second->weights(), whole->weights());
  EXPECT_EQ(second->statistics(), whole->statistics());
}

}  // namespace
}  // namespace kinema::test
