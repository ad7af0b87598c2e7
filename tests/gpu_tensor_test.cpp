// labels: ci, emulated
// Tensors on Device::gpu, whose memory the emulation hands out full of NaN, and fills late.
#include <cstring>
#include "engine/gpu.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/views.h"
#include "engine/policy.h"
#include "engine/random.h"
#include "engine/step_arena.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

class GpuTensor : public ::testing::Test {
 protected:
  GpuTensor() { use_gpu(kernels::runtime_emulated, Backend::emulated); }
  const kernels::Runtime& runtime = kernels::runtime_emulated;
};

Tensor there(const Tensor& t) { return to_device(t, Device::gpu); }
Tensor back(const Tensor& t) { return to_device(t, Device::cpu); }
/// A tensor of so many bytes.
Tensor bytes(int64_t count) { return empty({count}, Dtype::u8, Device::gpu); }

TEST_F(GpuTensor, ComesThereAndBack) {
  for (const Dtype d : {Dtype::f32, Dtype::bf16, Dtype::f16, Dtype::u8, Dtype::i64})
    for (const Shape& shape : {Shape{2, 3, 4, 5, 7}, Shape{2, 2, 3, 5, 3}, Shape{4, 5}, Shape{6},
                               Shape{2, 0, 3}, Shape{1, 1}}) {
      const Tensor t = random(shape, 1, d, 0, 100), gpu = there(t);
      EXPECT_EQ(gpu.device(), Device::gpu);
      EXPECT_EQ(error(back(gpu), t), 0) << name_of(d) << " " << shape;
      EXPECT_TRUE(tail_is_zero(back(gpu)));
      EXPECT_EQ(there(gpu).storage, gpu.storage);
    }
  const Slice part(random({2, 3, 4, 5, 6}), 3, 2);
  EXPECT_EQ(error(back(there(part.part)), part.part), 0);
  EXPECT_EQ(error(back(slice(there(part.whole), -1, 3, 6)), part.part), 0);
}

TEST_F(GpuTensor, IsMadeOfValues) {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const Tensor t = from_vector<float>({2, 3}, values, Device::gpu);
  EXPECT_EQ(to_vector<float>(t), values);
  EXPECT_TRUE(tail_is_zero(t));
  EXPECT_EQ(item(full({1}, 7, Dtype::i64, Device::gpu)), 7);
  EXPECT_EQ(to_vector<float>(full({2, 3}, 7, Dtype::f32, Device::gpu)), std::vector<float>(6, 7));
  const DeviceScope scope(Device::gpu);
  const Tensor drawn = empty({3, 5}), host = empty({3, 5}, Dtype::f32, Device::cpu);
  for (const Tensor& d : {drawn, host}) fill_normal(d, 0, 1, key_of(1, "x"));
  EXPECT_EQ(drawn.device(), Device::gpu);
  EXPECT_EQ(error(back(drawn), host), 0);
}

/// Frames of 5 x 3 bytes of f32 a row: 15 elements, padded to 16.
TEST_F(GpuTensor, PixelsThatPadRowsAreZero) {
  const Tensor t = empty({1, 2, 3, 5, 3}, Dtype::f32, Device::gpu);
  fill(t, 1);
  std::vector<float> all(size_t(t.storage->bytes() / 4));
  runtime.download(current_stream(), t.storage->data(), all.data(), t.storage->bytes());
  ASSERT_EQ(all.size(), 2u * 3 * 16);
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], i % 16 < 15 ? 1 : 0) << i;
}

TEST_F(GpuTensor, CopiesBetweenDevices) {
  const Tensor host = random({3, 5}), gpu = there(random({3, 5}, 2)), sum = add(host, back(gpu));
  copy(host, gpu, true);
  EXPECT_EQ(error(back(gpu), sum), 0);
  const Tensor narrow = empty({3, 5}, Dtype::bf16);
  copy(gpu, narrow);
  EXPECT_EQ(error(narrow, cast(sum, Dtype::bf16)), 0);
  EXPECT_EQ(to_device(gpu, Device::meta).layout.data, nullptr);
  EXPECT_EQ(refusal([] { back(empty({1}, Dtype::f32, Device::meta)); }),
            "to_device: a tensor on the meta device has no values");
}

TEST_F(GpuTensor, PinnedMemoryIsReadByTheDevice) {
  const Tensor pinned = empty_pinned({4, 5}), gpu = empty({4, 5}, Dtype::f32, Device::gpu);
  EXPECT_EQ(pinned.device(), Device::cpu);
  copy(random({4, 5}), pinned);
  runtime.upload_later(current_stream(), pinned.layout.data, gpu.layout.data,
                       pinned.storage->bytes());
  EXPECT_EQ(error(back(gpu), pinned), 0);
}

TEST_F(GpuTensor, IsCounted) {
  const MemoryUse host = memory_use(), before = memory_use(Device::gpu);
  {
    const Tensor t = bytes(1000), all = t;
    EXPECT_EQ(memory_use(Device::gpu).live, before.live + 1000);
  }
  EXPECT_EQ(memory_use(Device::gpu).live, before.live);
  EXPECT_GE(memory_use(Device::gpu).peak, before.live + 1000);
  EXPECT_EQ(memory_use().live, host.live);
}

TEST_F(GpuTensor, RunningOutOfMemoryLosesNothing) {
  const MemoryUse before = memory_use(Device::gpu);
  const std::string text = refusal([] { bytes(int64_t(1) << 50); });
  EXPECT_EQ(text.rfind("device memory: ", 0), 0u) << text;
  EXPECT_NE(text.find("batch"), std::string::npos) << text;
  EXPECT_EQ(memory_use(Device::gpu).live, before.live);
  EXPECT_EQ(to_vector<uint8_t>(full({3}, 4, Dtype::u8, Device::gpu)), std::vector<uint8_t>(3, 4));
}

/// Memory goes back behind the work that uses it.
TEST_F(GpuTensor, WorksOnAStreamOfItsOwn) {
  const Stream stream = runtime.make_stream();
  {
    const StreamScope scope(stream);
    EXPECT_EQ(current_stream().handle, stream.handle);
    Tensor t = there(random({5, 7}));
    for (int i = 0; i < 3; ++i) t = add(t, t);
    EXPECT_EQ(error(back(t), add(full({5, 7}, 0), multiply(random({5, 7}), full({5, 7}, 8)))), 0);
  }
  EXPECT_NE(current_stream().handle, stream.handle);
  runtime.synchronize(stream);
  runtime.drop_stream(stream);
}

TEST_F(GpuTensor, AnotherGpuIsRefused) {
  use_gpu(kernels::runtime_emulated, Backend::emulated);
  EXPECT_EQ(refusal([] { use_gpu(kernels::runtime_emulated, Backend::cuda); }),
            "gpu: this process uses GPU 0 by emulated already, got GPU 0 by cuda; start another "
            "process");
  const Tensor t = there(random({3}));
  const BackendScope cudnn(Backend::cudnn);
  EXPECT_EQ(refusal([&] { fill(t, 1); }),
            "copy: backend cudnn cannot run on the GPU in use, which has emulated");
}

TEST_F(GpuTensor, AnArenaGivesTheSamePlaces) {
  StepArena arena(current_stream(), 1 << 16);
  const auto step = [&] {
    const StepArena::Scope scope(arena);
    std::vector<void*> at;
    std::vector<Tensor> held;
    for (int64_t size : {1000, 70000, 256, 30000, 5000, 70000, 1}) {
      held.push_back(bytes(size));
      at.push_back(held.back().layout.data);
      if (held.size() % 3 == 0) held.erase(held.begin());
    }
    return at;
  };
  const auto first = step();
  const int64_t held = arena.held();
  EXPECT_EQ(arena.used(), 0);
  EXPECT_GT(held, 1 << 16);
  bytes(4000);  // of the pool: no business of the arena
  arena.fix();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(step(), first);
  EXPECT_EQ(arena.held(), held);
}

TEST_F(GpuTensor, AnArenaJoinsAndReusesGaps) {
  StepArena arena(current_stream(), 3 * 1024);
  const StepArena::Scope scope(arena);
  Tensor a = bytes(1024), b = bytes(1000), c = bytes(1024);
  void* const first = a.layout.data;
  a = c = b = {};
  EXPECT_EQ(bytes(3 * 1024).layout.data, first);
  a = bytes(512), b = bytes(256), c = bytes(256);
  void* const small = b.layout.data;
  b = a = {};  // gaps of 768 and 2048: the smaller one that fits is taken
  EXPECT_EQ(bytes(600).layout.data, first);
  EXPECT_EQ(bytes(800).layout.data, static_cast<char*>(small) + 512);
  EXPECT_EQ(arena.held(), 3 * 1024);
}

TEST_F(GpuTensor, AFixedArenaDoesNotGrow) {
  StepArena arena(current_stream(), 4096);
  Tensor kept;
  {
    const StepArena::Scope scope(arena);
    kept = bytes(1000);
    arena.fix();
    EXPECT_EQ(refusal([] { bytes(5000); }),
              "step arena: a step of fixed memory asked for 5120 bytes more; it holds 4096, of "
              "which 1024 are in use and 3072 lie in one piece; a captured step must allocate as "
              "the steps before it did");
    const Stream other = runtime.make_stream();
    {
      const StreamScope elsewhere(other);
      EXPECT_EQ(refusal([] { bytes(1); }),
                "step arena: it serves the stream that it was made for, but was asked on another");
    }
    runtime.drop_stream(other);
  }
  bytes(5000);  // the pool's again
  fill(kept, 3);
  EXPECT_EQ(to_vector<uint8_t>(kept), std::vector<uint8_t>(1000, 3));
}

/// Kernels' workspaces come from the arena, and what was taken from it outlives it.
TEST_F(GpuTensor, AnArenaServesWorkspacesAndIsOutlived) {
  Tensor kept;
  {
    StepArena arena(current_stream(), 1 << 16), inner(current_stream(), 1 << 16);
    const StepArena::Scope scope(arena);
    {
      const StepArena::Scope within(inner);
      kept = full({100}, 5, Dtype::f32, Device::gpu);
    }
    void* const space = runtime.take_workspace(current_stream(), 1000);
    EXPECT_EQ(arena.used(), 1024);
    EXPECT_EQ(inner.used(), 512);
    runtime.give_workspace(current_stream(), space, 1000);
    EXPECT_EQ(arena.used(), 0);
  }
  EXPECT_EQ(to_vector<float>(kept), std::vector<float>(100, 5));
}

/// A step captured in an arena and replayed gives what it gave at once.
TEST_F(GpuTensor, AStepInAnArenaIsReplayed) {
  StepArena arena(current_stream());
  const Tensor x = there(random({4, 5})), y = empty_like(x);
  const auto step = [&] {
    const StepArena::Scope scope(arena);
    copy(add(multiply(x, x), x), y);
  };
  step();
  const Tensor want = back(y);
  arena.fix();
  runtime.begin_capture(current_stream());
  step();
  const kernels::Graph graph = runtime.end_capture(current_stream());
  fill(y, 0);
  runtime.replay(graph, current_stream());
  EXPECT_EQ(error(back(y), want), 0);
  copy(multiply(x, full({4, 5}, 2, Dtype::f32, Device::gpu)), x);
  runtime.replay(graph, current_stream());
  const Tensor doubled = back(x);
  EXPECT_EQ(error(back(y), add(multiply(doubled, doubled), doubled)), 0);
  runtime.drop_graph(graph);
}

}  // namespace
}  // namespace kinema::test
