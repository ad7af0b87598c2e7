// Which backend serves which operation, and what happens where it does not have it.
#include "engine/gpu.h"
#include "engine/served.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

/// An operation of which the reference lacks one pass and one case.
struct Fake {
  int (*whole)();
  int (*absent)();
  int (*some)(int size);
};
constexpr Fake fake_cpu = {[] { return 1; }, [] { return 1; }, [](int) { return 1; }};
constexpr Fake fake_reference = {[] { return 2; }, nullptr,
                                 [](int size) {
                                   if (size > 1) throw kernels::Unsupported("fake: 2 is too many");
                                   return 2;
                                 }};
const Fake& fake(Backend b) {
  return kernels::select<Fake>("fake", b, {.reference = &fake_reference, .cpu = &fake_cpu});
}
/// One that the reference lacks.
struct Alone {
  int (*whole)();
};
constexpr Alone alone_cpu = {[] { return 1; }};
const Alone& alone(Backend b) { return kernels::select<Alone>("alone", b, {.cpu = &alone_cpu}); }

Served<Fake> served() { return {"fake", fake, Device::cpu}; }

TEST(Policy, TheLastChoiceThatFitsDecides) {
  EXPECT_EQ(choice_for("conv3d", Device::cpu).first, Backend::cpu);
  const BackendScope all(Backend::reference);
  EXPECT_EQ(choice_for("conv3d", Device::cpu).first, Backend::reference);
  EXPECT_EQ(choice_for("conv3d", Device::cpu).otherwise, Backend::cpu);
  const BackendScope one(Backend::cpu, "conv3d");
  EXPECT_EQ(choice_for("conv3d", Device::cpu).first, Backend::cpu);
  EXPECT_EQ(choice_for("pool3d", Device::cpu).first, Backend::reference);
  EXPECT_EQ(choice_for("conv3d", Device::meta).first, Backend::meta);
}

/// A run on a GPU works on some tensors of the CPU too, for which its choice means nothing.
TEST(Policy, AChoiceCountsOnTheDeviceOfItsBackend) {
  const BackendScope all(Backend::cudnn);
  const BackendScope one(Backend::cuda, "conv3d");
  EXPECT_EQ(choice_for("conv3d", Device::cpu).first, Backend::cpu);
  EXPECT_EQ(served().run(&Fake::whole), 1);
}

TEST(Policy, AChoiceForAllFallsBackAndSaysSoOnce) {
  const BackendScope all(Backend::reference);
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(served().run(&Fake::whole), 2);
    EXPECT_EQ(served().run(&Fake::some, 1), 2);
    EXPECT_EQ(served().run(&Fake::absent), 1);
    EXPECT_EQ(served().run(&Fake::some, 2), 1);
    EXPECT_EQ(Served<Alone>("alone", alone, Device::cpu).run(&Alone::whole), 1);
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "note: fake: backend reference has none of its own; cpu serves it instead\n"
            "note: fake: 2 is too many; cpu serves it instead\n"
            "note: alone: backend reference has none of its own; cpu serves it instead\n");
}

TEST(Policy, AChoiceForOneOperationIsKept) {
  const BackendScope one(Backend::reference, "fake"), other(Backend::reference, "alone");
  EXPECT_EQ(served().run(&Fake::some, 1), 2);
  EXPECT_EQ(refusal([] { served().run(&Fake::some, 2); }), "fake: 2 is too many");
  EXPECT_EQ(refusal([] { served().run(&Fake::absent); }),
            "fake: backend reference has no such pass");
  EXPECT_EQ(refusal([] { Served<Alone>("alone", alone, Device::cpu); }),
            "alone: this build has no implementation for backend reference");
}

TEST(Policy, WithoutAGpuNothingLiesThere) {
  EXPECT_FALSE(has_gpu());
  EXPECT_EQ(refusal([] { empty({2}, Dtype::f32, Device::gpu); }),
            "gpu: a tensor on Device::gpu was asked for, but no GPU is in use");
  kernels::Runtime runtime{};
  runtime.devices = [] { return 0; };
  runtime.missing = [] { return std::string("no driver"); };
  EXPECT_EQ(refusal([&] { use_gpu(runtime, Backend::cuda); }),
            "gpu: no GPU can be used: no driver");
  runtime.devices = [] { return 1; };
  EXPECT_EQ(refusal([&] { use_gpu(runtime, Backend::cuda, 1); }),
            "gpu: there is no GPU 1; this machine has 1, counted from 0");
  EXPECT_FALSE(has_gpu());
}

}  // namespace
}  // namespace kinema::test
