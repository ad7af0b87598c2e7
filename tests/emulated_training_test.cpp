// labels: slow, emulated
// Whole trainings on Device::gpu, whose kernels the emulation runs, beside other backends.
#include "engine/data/motion.h"
#include "engine/gpu.h"
#include "engine/ops/softmax_cross_entropy.h"
#include "engine/optim/sgd.h"
#include "models/slow_fusion.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

namespace video = kinema::engine::video;

constexpr int64_t clips = 4, steps = 20;

/// Clips of as many motions, f32 in [-0.5, 0.5].
struct Clips {
  Clips() {
    const video::MotionOptions motion{.size = 32, .frames = 8};
    std::vector<float> values;
    std::vector<int64_t> classes;
    for (int64_t c = 0; c < clips; ++c) {
      for (uint8_t v : to_vector<uint8_t>(video::render_motion(motion, c, 0)))
        values.push_back(float(v) / 255 - 0.5f);
      classes.push_back(c);
    }
    frames = from_vector<float>({clips, motion.frames, motion.size, motion.size, 3}, values);
    labels = from_vector<int64_t>({clips}, classes);
  }
  Tensor frames, labels;
};

/// The losses of the lecture's 3D net in training on `device`. Nobody waits for the device before
/// the end.
std::vector<float> train(const Clips& batch, Device device, Dtype precision = Dtype::f32) {
  const DeviceScope scope(device);
  models::SlowFusion net({.classes = clips, .frames = 8, .height = 32, .width = 32});
  net.initialise(1);
  engine::optim::ParameterArena arena(net, precision);
  engine::optim::Sgd sgd(arena, {.momentum = 0.9, .weight_decay = 1e-4});
  const Tensor frames = to_device(batch.frames, device), labels = to_device(batch.labels, device);
  std::vector<Tensor> losses;
  for (int64_t step = 0; step < steps; ++step) {
    arena.zero_grad();
    const Tensor loss = softmax_cross_entropy(net.forward(frames), labels);
    losses.push_back(loss.detach());
    backward(loss);
    sgd.step(0.05);
  }
  std::vector<float> values;
  for (const Tensor& loss : losses) values.push_back(float(item(loss)));
  return values;
}

/// By how much two trainings differ, of the larger of 1 and the loss.
void expect_near(const std::vector<float>& a, const std::vector<float>& b, float bound) {
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_NEAR(a[i], b[i], bound * std::max(1.f, b[i])) << "step " << i;
}

class EmulatedTraining : public ::testing::Test {
 protected:
  EmulatedTraining() { use_gpu(kernels::runtime_emulated, Backend::emulated); }
};

TEST_F(EmulatedTraining, AgreesWithCpuAndReferenceAndGivesTheSameBitsAgain) {
  const Clips batch;
  const std::vector<float> emulated = train(batch, Device::gpu);
  EXPECT_LT(emulated.back(), emulated.front() / 2);  // it has learned: later steps are no repeats
  {
    const BackendScope reference(Backend::reference);
    expect_near(emulated, train(batch, Device::cpu), 1e-3f);
  }
  expect_near(emulated, train(batch, Device::cpu), 1e-3f);
  EXPECT_EQ(emulated, train(batch, Device::gpu));
}

/// bf16 beside bf16: sums alone differ, until one of them turns a rounding: 2^-8 of a score of size
/// 1, a quarter of that in the mean of four clips' losses. Two such.
TEST_F(EmulatedTraining, TrainsInBf16) {
  const Clips batch;
  const std::vector<float> emulated = train(batch, Device::gpu, Dtype::bf16);
  expect_near(emulated, train(batch, Device::cpu, Dtype::bf16), 0x1p-9f);
  EXPECT_EQ(emulated, train(batch, Device::gpu, Dtype::bf16));
}

}  // namespace
}  // namespace kinema::test
