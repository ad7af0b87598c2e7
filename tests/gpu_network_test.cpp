// labels: ci, emulated
// A network on Device::gpu, and what stands around it: files, averages, statistics, faults,
// metrics.
#include <fstream>
#include <iterator>
#include "engine/gpu.h"
#include "engine/io/event_file.h"
#include "engine/optim/adamw.h"
#include "engine/optim/ema.h"
#include "engine/optim/sgd.h"
#include "engine/report/filters.h"
#include "engine/train/buffer_guard.h"
#include "engine/train/checkpoint.h"
#include "engine/train/fault.h"
#include "engine/train/loss.h"
#include "engine/train/metrics.h"
#include "engine/train/precise_norm.h"
#include "engine/train/progress.h"
#include "kernels/device/emulation/stream.h"
#include "models/slow_fusion.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {
namespace {

namespace train = kinema::engine::train;
namespace io = kinema::engine::io;
namespace optim = kinema::engine::optim;

constexpr int64_t classes = 3;

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A small 3D net with batch norm on one device, its clips on the CPU.
struct Net {
  explicit Net(Device device_, Dtype precision = Dtype::f32) : device(device_) {
    const DeviceScope scope(device);
    net = std::make_unique<models::SlowFusion>(models::ModelOptions{
        .classes = classes, .frames = 4, .height = 12, .width = 12, .widths = {5, 6}});
    net->initialise(1);
    arena = std::make_unique<optim::ParameterArena>(*net, precision);
  }
  Tensor loss() const {
    return train::loss_of(net->forward(clips), {.labels = labels}, {.label_smoothing = 0.1});
  }
  /// Weights and buffers as one list of numbers.
  std::vector<float> state() const {
    std::vector<float> all;
    for (const io::NamedValue& t : io::state_of(*net))
      for (float v : to_vector<float>(t.value)) all.push_back(v);
    return all;
  }

  Device device;
  Tensor clips = random({2, 4, 12, 12, 3});
  Tensor labels = from_vector<int64_t>({2}, {0, 2}, Device::cpu);
  std::unique_ptr<models::SlowFusion> net;
  std::unique_ptr<optim::ParameterArena> arena;
};

class GpuNetwork : public ::testing::Test {
 protected:
  GpuNetwork() { use_gpu(kernels::runtime_emulated, Backend::emulated); }
};

TEST_F(GpuNetwork, LiesWhereItWasMade) {
  const Net gpu(Device::gpu), cpu(Device::cpu);
  EXPECT_EQ(gpu.net->device(), Device::gpu);
  for (const engine::nn::NamedTensor& p : gpu.net->parameters())
    EXPECT_EQ(p.tensor->device(), Device::gpu) << p.name;
  EXPECT_EQ(gpu.state(), cpu.state());  // the same draws
  // Sums of at most 5 * 27 products of numbers of size 1, through two layers and their norms.
  EXPECT_LE(error(gpu.net->forward(gpu.clips).detach(), cpu.net->forward(cpu.clips).detach()),
            1e-5);
}

/// Equal values, equal bytes, be it weights, optimiser or average; and they can be read into both.
TEST_F(GpuNetwork, CheckpointsAreThoseOfTheCpu) {
  const Folder folder;
  std::vector<io::NamedValue> all[2];
  const Net nets[2] = {Net(Device::cpu, Dtype::bf16), Net(Device::gpu, Dtype::bf16)};
  std::vector<std::unique_ptr<optim::Ema>> averages;
  for (int i = 0; i < 2; ++i) {
    averages.push_back(std::make_unique<optim::Ema>(*nets[i].net, *nets[i].arena, 0.9));
    all[i] = io::state_of(*nets[i].net);
    for (const auto& [name, value] : averages.back()->state())
      all[i].push_back({"state.ema." + name, value});
    train::write_checkpoint(folder / std::to_string(i), all[i], {{"model", "slow_fusion"}});
  }
  EXPECT_EQ(bytes_of(folder / "0"), bytes_of(folder / "1"));
  const std::vector<float> before = nets[1].state();
  for (const engine::nn::NamedTensor& p : nets[1].net->parameters()) fill(*p.tensor, 0);
  EXPECT_NE(nets[1].state(), before);
  io::load_state(*nets[1].net, train::read_weights(folder / "1"), "the checkpoint");
  EXPECT_EQ(nets[1].state(), before);
}

/// The average of the weights takes their place and gives it back.
TEST_F(GpuNetwork, IsEvaluatedWithItsAverage) {
  for (const Dtype precision : {Dtype::f32, Dtype::bf16}) {
    const Net gpu(Device::gpu, precision);
    optim::Ema ema(*gpu.net, *gpu.arena, 0.5);
    const std::vector<float> first = gpu.state();
    gpu.net->train(false);
    const std::vector<float> scores = floats(gpu.net->forward(gpu.clips).detach());
    fill(gpu.arena->values(), 0.25);
    gpu.arena->update_working();
    const std::vector<float> others = floats(gpu.net->forward(gpu.clips).detach());
    EXPECT_NE(others, scores);
    {
      const optim::Ema::Scope averaged(ema);
      EXPECT_EQ(gpu.state(), first);
      EXPECT_EQ(floats(gpu.net->forward(gpu.clips).detach()), scores);
    }
    EXPECT_EQ(floats(gpu.net->forward(gpu.clips).detach()), others);
  }
}

TEST_F(GpuNetwork, MeasuresStatisticsAndPutsThemBack) {
  std::vector<float> measured[2];
  for (const Device device : {Device::cpu, Device::gpu}) {
    const Net n(device);
    const std::vector<float> before = n.state();
    {
      const train::BufferGuard guard(*n.net);
      train::precise_norm(*n.net, [&] {
        for (uint64_t seed : {1, 2}) n.net->forward(random({2, 4, 12, 12, 3}, seed));
      });
      measured[int(device)] = n.state();
      EXPECT_NE(measured[int(device)], before);
    }
    EXPECT_EQ(n.state(), before);
  }
  // Means and variances of numbers of size 1 that differ by the rounding of the convolutions.
  ASSERT_EQ(measured[0].size(), measured[1].size());
  for (size_t i = 0; i < measured[0].size(); ++i)
    EXPECT_NEAR(measured[0][i], measured[1][i], 1e-5) << i;
}

class GpuFault : public GpuNetwork, public ::testing::WithParamInterface<Dtype> {};

TEST_P(GpuFault, IsNamed) {
  const Net gpu(Device::gpu, GetParam());
  const engine::nn::NamedTensor first = gpu.net->parameters().front();
  EXPECT_FALSE(train::fault_of_weights(*gpu.net));
  EXPECT_FALSE(train::fault_of_pass(*gpu.net, [&] { backward(gpu.loss()); }));
  fill({first.tensor->storage, first.tensor->layout.slice(0, 2, 1), nullptr}, NAN);
  gpu.arena->update_working();
  std::ostringstream shape;
  shape << first.tensor->shape();
  EXPECT_EQ(train::fault_of_weights(*gpu.net).value_or(""),
            "weight " + first.name + " " + shape.str() + " holds NaN");
  const std::string path = first.name.substr(0, first.name.rfind('.'));
  const std::string found =
      train::fault_of_pass(*gpu.net, [&] { backward(gpu.loss()); }).value_or("");
  EXPECT_EQ(found.rfind("the output of conv3d in " + path, 0), 0u) << found;
}

INSTANTIATE_TEST_SUITE_P(Types, GpuFault, ::testing::Values(Dtype::f32, Dtype::bf16),
                         [](const auto& of) { return name_of(of.param); });

TEST_F(GpuNetwork, IsMeasuredAndShown) {
  const Net gpu(Device::gpu), cpu(Device::cpu);
  const Tensor scores = gpu.net->forward(gpu.clips).detach();
  train::Metrics there(classes), here(classes);
  there.add(scores, gpu.labels);
  here.add(to_device(scores, Device::cpu), gpu.labels);
  EXPECT_EQ(there.confusion(), here.confusion());
  EXPECT_EQ(there.count(), 2);
  {
    const DeviceScope scope(Device::gpu);
    const auto filters = engine::report::filters_of(*gpu.net, "");
    EXPECT_EQ(filters.weights.device(), Device::cpu);
    EXPECT_EQ(error(engine::report::moving_grid(filters),
                    engine::report::moving_grid(engine::report::filters_of(*cpu.net, ""))),
              0);
    const Folder folder;
    io::EventFile(folder.path(), 0).histogram(1, "w", *gpu.net->parameters().front().tensor);
  }
  EXPECT_EQ(train::memory_held(), memory_use(Device::gpu).peak);
}

/// What a profiler shows: modules by path on the way forward, operations on the way back.
TEST_F(GpuNetwork, NamesRangesForProfilers) {
  const Net gpu(Device::gpu);
  const kernels::device::emulation::RangeLog log;
  backward(gpu.loss());
  std::string forward, behind;
  bool back = false;
  for (const auto& range : log.ranges()) {
    back = back || range.name == "backward";
    (back ? behind : forward) += std::string(size_t(range.depth), ' ') + range.name + "\n";
  }
  EXPECT_EQ(forward,
            "features.block1.conv\nfeatures.block1.norm\nfeatures.pool1\nfeatures.block2.conv\n"
            "features.block2.norm\ndropout\nclassify\n");
  EXPECT_EQ(behind.substr(0, behind.find(" global")),
            "backward\n softmax_cross_entropy\n linear\n");
  EXPECT_NE(behind.find(" batch_norm\n conv3d\n"), std::string::npos) << behind;
  EXPECT_EQ(kernels::device::emulation::open_ranges(), 0);
}

}  // namespace
}  // namespace kinema::test
