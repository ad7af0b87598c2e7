#include "tests/runtime_device_test.h"
#include <functional>
#include <thread>
#include <utility>
#include "tests/support/device_streams.h"

namespace kinema::test {
namespace {

using kernels::DeviceMemory, kernels::Error, kernels::Event, kernels::Graph;

/// A GPU is milliseconds behind the host, so that what does not wait for it comes too early.
int64_t rounds(const DeviceRun& run) { return run.backend == Backend::cuda ? 100000 : 2; }

const DeviceRun& the_run() { return device_runs().front(); }

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Runtime, CopiesOfPinnedMemoryKeepTheOrderOfTheirStream) {
  Streams s(the_run());
  const Stream stream = s.stream();
  float *from = s.pinned(3), *to = s.pinned(0), *x = s.floats(0), *y = s.floats(0);
  s.kernels.fill_slowly(stream, x, 7, s.count, rounds(the_run()));
  s.runtime.upload_later(stream, from, x, s.bytes);
  s.kernels.add(stream, x, 1, s.count);
  s.runtime.copy(stream, x, y, s.bytes);
  s.runtime.clear(stream, x, s.bytes / 2);
  s.runtime.download_later(stream, y, to, s.bytes);
  s.runtime.synchronize(stream);
  EXPECT_EQ(to[0], 4);
  EXPECT_EQ(to[s.count - 1], 4);
  s.runtime.download(stream, x, to, s.bytes);
  EXPECT_EQ(to[0], 0);
  EXPECT_EQ(to[s.count - 1], 4);
}

TEST(Runtime, AStreamWaitsForAnEventOfAnother) {
  Streams s(the_run());
  const Stream first = s.stream(), second = s.stream();
  const Event filled = s.event(), never = s.event();
  float *x = s.floats(0), *y = s.floats(0);
  s.runtime.wait(second, never);  // is not waited for
  EXPECT_TRUE(s.runtime.passed(never));
  s.kernels.fill_slowly(first, x, 5, s.count, rounds(the_run()));
  s.runtime.record(filled, first);
  s.runtime.wait(second, filled);
  s.runtime.copy(second, x, y, s.bytes);
  EXPECT_EQ(s.value(second, y), 5);
  EXPECT_TRUE(s.runtime.passed(filled));
}

TEST(Runtime, TheNullStreamWaitsForEventsToo) {
  Streams s(the_run());
  const Stream first = s.stream();
  const Event filled = s.event();
  float *x = s.floats(0), *y = s.floats(0);
  s.kernels.fill_slowly(first, x, 5, s.count, rounds(the_run()));
  s.runtime.record(filled, first);
  s.runtime.wait({}, filled);
  s.runtime.copy({}, x, y, s.bytes);
  EXPECT_EQ(s.value({}, y), 5);
}

TEST(Runtime, AnEventRecordedAgainMovesButNotForThoseWhoWaitAlready) {
  Streams s(the_run());
  const Stream first = s.stream(), second = s.stream(), third = s.stream();
  const Event event = s.event();
  float *x = s.floats(0), *y = s.floats(0);
  s.kernels.fill_slowly(first, x, 1, s.count, rounds(the_run()));
  s.runtime.record(event, first);
  s.runtime.wait(second, event);
  s.runtime.record(event, third);  // which holds nothing
  s.runtime.copy(second, x, y, s.bytes);
  EXPECT_EQ(s.value(second, y), 1);
  s.kernels.fill_slowly(first, x, 2, s.count, rounds(the_run()));
  s.runtime.record(event, first);
  s.runtime.wait_for(event);
  EXPECT_TRUE(s.runtime.passed(event));
  EXPECT_EQ(s.value({}, x), 2);
}

TEST(Runtime, AReplaySeesWhatMemoryHoldsThen) {
  Streams s(the_run());
  const Stream stream = s.stream();
  float *x = s.floats(0), *rate = s.floats(1);
  s.runtime.begin_capture(stream);
  s.kernels.add_from(stream, x, rate, s.count);
  s.kernels.add(stream, x, 100, s.count);
  const Graph graph = s.runtime.end_capture(stream);
  EXPECT_EQ(s.value(stream, x), 0) << "a capture runs nothing";
  float expected = 0;
  for (const float r : {1.f, 3.f, -2.f}) {
    s.set(rate, r);
    s.runtime.replay(graph, stream);
    s.runtime.replay(graph, stream);
    expected += 2 * (r + 100);
    EXPECT_EQ(s.value(stream, x), expected);
  }
  s.runtime.replay(graph, {});
  EXPECT_EQ(s.value({}, x), expected + 98);
  s.runtime.drop_graph(graph);
}

TEST(Runtime, ACaptureHoldsCopiesOfPinnedMemoryAndItsOwnEvents) {
  Streams s(the_run());
  const Stream stream = s.stream();
  const Event event = s.event();
  float *x = s.floats(0), *in = s.pinned(1), *out = s.pinned(0);
  s.runtime.begin_capture(stream);
  s.runtime.upload_later(stream, in, x, s.bytes);
  s.runtime.record(event, stream);
  s.runtime.wait(stream, event);
  s.kernels.add(stream, x, 1, s.count);
  s.runtime.download_later(stream, x, out, s.bytes);
  const Graph graph = s.runtime.end_capture(stream);
  for (const float f : {4.f, 9.f}) {
    std::fill_n(in, s.count, f);
    s.runtime.replay(graph, stream);
    s.runtime.synchronize(stream);
    EXPECT_EQ(out[s.count - 1], f + 1);
  }
  s.runtime.drop_graph(graph);
}

TEST(Runtime, WhatACaptureCannotHoldIsRefusedAndBreaksIt) {
  Streams s(the_run());
  const Stream stream = s.stream(), other = s.stream();
  const Event outside = s.event();
  float *x = s.floats(0), *host = s.pinned(0);
  s.runtime.begin_capture(other);
  s.kernels.add(other, x, 1, s.count);
  const Graph graph = s.runtime.end_capture(other);
  s.kernels.fill_slowly(other, x, 1, s.count, rounds(the_run()));
  s.runtime.record(outside, other);
  const kernels::Runtime& r = s.runtime;
  const std::vector<std::pair<const char*, std::function<void()>>> illegal = {
      {"synchronize", [&] { r.synchronize(stream); }},
      {"synchronize", [&] { r.synchronize(other); }},
      {"upload", [&] { r.upload(stream, host, x, s.bytes); }},
      {"download", [&] { r.download(stream, x, host, s.bytes); }},
      {"take", [&] { r.take(stream, 64); }},
      {"take", [&] { s.kernels.use_workspace(stream, x, 64); }},
      {"allocate", [&] { r.allocate(64); }},
      {"allocate_pinned", [&] { r.allocate_pinned(64); }},
      {"wait", [&] { r.wait(stream, outside); }},
      {"wait_for", [&] { r.wait_for(outside); }},
      {"passed", [&] { r.passed(outside); }},
      {"replay", [&] { r.replay(graph, stream); }},
      {"begin_capture", [&] { r.begin_capture(other); }},
      {"seconds",
       [&] {
         r.seconds(
             stream, [](void*) {}, nullptr);
       }},
  };
  for (const auto& [name, call] : illegal) {
    r.begin_capture(stream);
    s.kernels.add(stream, x, 1, s.count);
    EXPECT_TRUE(contains(refusal_of(call), name)) << name << ": " << refusal_of(call);
    const std::string end = refusal_of([&] { r.end_capture(stream); });
    EXPECT_TRUE(contains(end, "end_capture")) << name << ": " << end;
  }
  r.synchronize(other);
  s.kernels.add(stream, x, 1, s.count);
  EXPECT_EQ(s.value(stream, x), 2) << "the stream goes on, and nothing captured has run";
  EXPECT_NE(refusal_of([&] { r.begin_capture({}); }), "");
  r.drop_graph(graph);
}

TEST(Runtime, WhatIsGivenBackDuringACaptureIsGivenAtItsEnd) {
  Streams s(the_run());
  const Stream stream = s.stream();
  const int64_t before = s.runtime.memory().used;
  auto* x = static_cast<float*>(s.runtime.take(stream, s.bytes));
  s.runtime.clear(stream, x, s.bytes);
  s.runtime.synchronize(stream);
  float* y = s.floats(0);
  s.runtime.begin_capture(stream);
  s.runtime.copy(stream, x, y, s.bytes);
  s.runtime.give(stream, x, s.bytes);
  EXPECT_GE(s.runtime.memory().used, before + s.bytes);
  s.runtime.drop_graph(s.runtime.end_capture(stream));
  s.runtime.synchronize(stream);
  EXPECT_EQ(s.runtime.memory().used, before);
}

TEST(Runtime, ThePoolKeepsTheOrderOfItsStream) {
  Streams s(the_run());
  const Stream stream = s.stream();
  const int64_t before = s.runtime.memory().used;
  float *y = s.floats(0), *z = s.floats(0);
  const auto pass = [&](float value, float* to) {
    auto* x = static_cast<float*>(s.runtime.take(stream, s.bytes));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(x) % 256, 0u);
    s.kernels.fill_slowly(stream, x, value, s.count, rounds(the_run()));
    s.runtime.copy(stream, x, to, s.bytes);
    EXPECT_GE(s.runtime.memory().used, before + s.bytes);
    s.runtime.give(stream, x, s.bytes);
  };
  pass(1, y);  // its memory may be the next one's
  pass(2, z);
  EXPECT_EQ(s.value(stream, y), 1);
  EXPECT_EQ(s.value(stream, z), 2);
  const DeviceMemory m = s.runtime.memory();
  EXPECT_EQ(m.used, before);
  EXPECT_LE(m.used, m.held);
  EXPECT_LE(m.held + m.free, m.total);
  s.runtime.give(stream, s.runtime.take(stream, 0), 0);
}

TEST(Runtime, MemoryThatRunsOutSaysWhatIsThereAndWhatToLower) {
  Streams s(the_run());
  const int64_t all = s.runtime.memory().total;
  const auto expect_sentence = [&](const std::function<void()>& f) {
    const std::string text = refusal_of(f);
    for (const char* part : {"MiB more", "are free", "the pool holds", "in use", "--batch"})
      EXPECT_TRUE(contains(text, part)) << text;
    // Rounded up: a GPU's memory need not be whole MiB.
    EXPECT_TRUE(contains(text, std::to_string((all + (1 << 20) - 1) >> 20) + " MiB")) << text;
  };
  expect_sentence([&] { s.runtime.take(s.stream(), 2 * all); });
  expect_sentence([&] { s.runtime.allocate(2 * all); });
  const Stream stream = s.stream();
  float* x = s.floats(1);
  s.kernels.add(stream, x, 1, s.count);
  EXPECT_EQ(s.value(stream, x), 2) << "the device goes on";
}

TEST(Runtime, HostMemoryThatIsNotPinnedIsRefused) {
  Streams s(the_run());
  const Stream stream = s.stream();
  float *x = s.floats(0), *pinned = s.pinned(0);
  std::vector<float> host(size_t(s.count), 0);
  EXPECT_TRUE(contains(refusal_of([&] { s.runtime.upload_later(stream, host.data(), x, s.bytes); }),
                       "pinned"));
  EXPECT_TRUE(contains(
      refusal_of([&] { s.runtime.download_later(stream, x, host.data(), s.bytes); }), "pinned"));
  EXPECT_TRUE(contains(refusal_of([&] { s.runtime.upload_later(stream, pinned + 1, x, s.bytes); }),
                       "pinned"));
  EXPECT_EQ(refusal_of([&] { s.runtime.upload_later(stream, pinned + 1, x, s.bytes - 4); }), "");
  s.runtime.synchronize(stream);
}

TEST(Runtime, AThreadsWorkspacesComeFromItsSource) {
  Streams s(the_run());
  const Stream stream = s.stream();
  struct Source {
    float* memory;
    int64_t taken = 0, given = 0;
  } mine{s.floats(1)};
  const kernels::MemorySource source = {
      .take = [](void* c, Stream, int64_t bytes) -> void* {
        static_cast<Source*>(c)->taken += bytes;
        return static_cast<Source*>(c)->memory;
      },
      .give =
          [](void* c, Stream, void* memory, int64_t bytes) {
            static_cast<Source*>(c)->given += memory == static_cast<Source*>(c)->memory ? bytes : 0;
          },
      .context = &mine};
  float* x = s.floats(1);
  s.runtime.workspace_from(&source);
  s.kernels.use_workspace(stream, x, 64);
  std::thread([&] { s.kernels.use_workspace(stream, x, 128); }).join();
  EXPECT_EQ(mine.taken, 64);
  EXPECT_EQ(mine.given, 64);
  s.runtime.workspace_from(nullptr);
  s.kernels.use_workspace(stream, x, 32);
  EXPECT_EQ(mine.taken, 64);
  EXPECT_EQ(s.value(stream, x), 1);
}

TEST(Runtime, SaysWhatThereIsAndRefusesTheRest) {
  const kernels::Runtime& r = *the_run().runtime;
  EXPECT_GE(r.devices(), 1);
  EXPECT_EQ(r.missing(), "");
  r.choose(0);
  EXPECT_TRUE(contains(refusal_of([&] { r.choose(r.devices()); }), "device:"));
  EXPECT_TRUE(contains(refusal_of([&] { r.choose(-1); }), "device:"));
  EXPECT_GE(r.gpu().compute_capability, 80);
  r.begin_range("a test");
  r.end_range();
}

TEST(Runtime, SecondsAreThoseOfTheWorkAndItIsDone) {
  Streams s(the_run());
  const Stream stream = s.stream();
  struct Call {
    Streams& s;
    Stream stream;
    float* x;
  } call{s, stream, s.floats(0)};
  const double seconds = s.runtime.seconds(
      stream,
      [](void* c) {
        const Call& mine = *static_cast<Call*>(c);
        mine.s.kernels.fill_slowly(mine.stream, mine.x, 1, mine.s.count, rounds(the_run()));
      },
      &call);
  EXPECT_GT(seconds, 0);
  EXPECT_EQ(s.value({}, call.x), 1);
}

}  // namespace
}  // namespace kinema::test
