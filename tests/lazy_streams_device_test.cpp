// labels: emulated
#include <algorithm>
#include <cmath>
#include <random>
#include <thread>
#include "kernels/device/emulation/stream.h"
#include "tests/emulation_device_test.h"
#include "tests/support/device_streams.h"

// What only the emulation shows: each mistake with streams is a wrong value or an error, every
// time.

namespace kinema::test {
namespace {

namespace emulation = kernels::device::emulation;
using kernels::DeviceLost, kernels::Event, kernels::Graph;

const DeviceRun& the_run() { return device_runs().front(); }

/// The text of the DeviceLost that f throws; "" if it throws none.
std::string loss_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const DeviceLost& e) {
    return e.what();
  }
  return "";
}

TEST(LazyStreams, AMissingWaitIsAWrongValue) {
  for (const bool waits : {false, true}) {
    Streams s(the_run());
    const Stream first = s.stream(), second = s.stream();
    const Event filled = s.event();
    float *x = s.floats(0), *y = s.floats(0);
    s.kernels.fill_slowly(first, x, 5, s.count, 1);
    s.runtime.record(filled, first);
    if (waits) s.runtime.wait(second, filled);
    s.runtime.copy(second, x, y, s.bytes);
    EXPECT_EQ(s.value(second, y), waits ? 5 : 0);
    EXPECT_EQ(emulation::pending(first), waits ? 0 : 1) << "nobody else waits for the first";
  }
}

TEST(LazyStreams, TheNullStreamWaitsForNobodyAndRunsAtOnce) {
  Streams s(the_run());
  const Stream stream = s.stream();
  float *x = s.floats(0), *y = s.floats(0);
  s.kernels.add(stream, x, 1, s.count);
  s.kernels.add({}, y, 1, s.count);
  EXPECT_EQ(y[0], 1);
  s.runtime.copy({}, x, y, s.bytes);
  s.runtime.synchronize({});
  EXPECT_EQ(y[0], 0);
  EXPECT_EQ(emulation::pending(stream), 1);
}

TEST(LazyStreams, StagingThatIsUsedAgainTooSoonIsAWrongValue) {
  for (const bool waits : {false, true}) {
    Streams s(the_run());
    const Stream stream = s.stream();
    const Event uploaded = s.event();
    float *staging = s.pinned(1), *x = s.floats(0);
    s.runtime.upload_later(stream, staging, x, s.bytes);
    s.runtime.record(uploaded, stream);
    if (waits) s.runtime.wait_for(uploaded);
    std::fill_n(staging, s.count, 2.f);
    EXPECT_EQ(s.value(stream, x), waits ? 1 : 2);
  }
}

TEST(LazyStreams, StagingThatIsReleasedTooSoonIsFound) {
  Streams s(the_run());
  const Stream stream = s.stream();
  float* x = s.floats(0);
  void* staging = s.runtime.allocate_pinned(s.bytes);
  s.runtime.upload_later(stream, staging, x, s.bytes);
  s.runtime.release_pinned(staging);
  EXPECT_NE(loss_of([&] { s.runtime.synchronize(stream); }).find("pinned"), std::string::npos);
  emulation::reset_device();
}

TEST(LazyStreams, WhatIsDownloadedLaterIsThereWhenItsEventHasPassed) {
  Streams s(the_run());
  const Stream stream = s.stream();
  const Event done = s.event();
  float *x = s.floats(3), *host = s.pinned(0);
  s.runtime.download_later(stream, x, host, s.bytes);
  s.runtime.record(done, stream);
  EXPECT_EQ(host[0], 0);
  EXPECT_FALSE(s.runtime.passed(done)) << "asking is not waiting";
  EXPECT_EQ(host[0], 0);
  int64_t asked = 0;
  while (!s.runtime.passed(done)) ASSERT_LT(++asked, 1000) << "who asks on and on gets there";
  EXPECT_EQ(host[0], 3);
}

TEST(LazyStreams, AReplayHasTheArgumentsOfItsCapture) {
  Streams s(the_run());
  const Stream stream = s.stream();
  float *x = s.floats(0), rate = 1;
  s.runtime.begin_capture(stream);
  s.kernels.add(stream, x, rate, s.count);
  const Graph graph = s.runtime.end_capture(stream);
  rate = 100;  // what is read here is stale in the graph
  s.runtime.replay(graph, stream);
  s.runtime.replay(graph, stream);
  EXPECT_EQ(emulation::pending(stream), 2);
  EXPECT_EQ(s.value(stream, x), 2);
  s.runtime.drop_graph(graph);
}

TEST(LazyStreams, AnEventDoesNotCrossTheEdgeOfACapture) {
  Streams s(the_run());
  const Stream stream = s.stream(), other = s.stream();
  const Event inside = s.event();
  float* x = s.floats(0);
  s.runtime.begin_capture(stream);
  s.kernels.add(stream, x, 1, s.count);
  s.runtime.record(inside, stream);
  s.runtime.drop_graph(s.runtime.end_capture(stream));
  EXPECT_NE(refusal_of([&] { s.runtime.wait(other, inside); }), "");
  EXPECT_NE(refusal_of([&] { s.runtime.wait_for(inside); }), "");
}

TEST(LazyStreams, MemoryUsedAfterItWasGivenBackIsNaN) {
  for (const bool waits : {false, true}) {
    Streams s(the_run());
    const Stream owner = s.stream(), user = s.stream();
    const Event used = s.event(), filled = s.event();
    float* y = s.floats(0);
    auto* x = static_cast<float*>(s.runtime.take(owner, s.bytes));
    s.kernels.fill_slowly(owner, x, 4, s.count, 1);
    s.runtime.record(filled, owner);
    s.runtime.wait(user, filled);
    s.runtime.copy(user, x, y, s.bytes);
    s.runtime.record(used, user);
    if (waits) s.runtime.wait(owner, used);
    s.runtime.give(owner, x, s.bytes);
    s.runtime.synchronize(owner);
    s.runtime.synchronize(user);
    if (waits)
      EXPECT_EQ(y[0], 4);
    else
      EXPECT_TRUE(std::isnan(y[0])) << y[0];
    EXPECT_EQ(loss_of([] { emulation::check_given_memory(); }), "");
  }
}

TEST(LazyStreams, MemoryWrittenAfterItWasGivenBackIsReported) {
  Streams s(the_run());
  const Stream stream = s.stream();
  auto* x = static_cast<float*>(s.runtime.take(stream, s.bytes));
  s.runtime.give(stream, x, s.bytes);
  s.runtime.clear(stream, x, 4);
  s.runtime.synchronize(stream);
  const std::string text = loss_of([] { emulation::check_given_memory(); });
  EXPECT_NE(text.find("after it was given back"), std::string::npos) << text;
  emulation::reset_device();
}

TEST(LazyStreams, MemoryGivenBackTwiceIsReported) {
  Streams s(the_run());
  const Stream stream = s.stream();
  void* x = s.runtime.take(stream, s.bytes);
  s.runtime.give(stream, x, s.bytes);
  EXPECT_EQ(loss_of([&] { s.runtime.synchronize(stream); }), "");
  s.runtime.give(stream, x, s.bytes);
  EXPECT_NE(loss_of([&] { s.runtime.synchronize(stream); }), "");
  emulation::reset_device();
}

TEST(LazyStreams, AFaultSurfacesAtTheWaitAndSticks) {
  Streams s(the_run());
  const Stream stream = s.stream(), other = s.stream();
  const Event event = s.event();
  float* x = s.floats(0);
  void* mine = s.runtime.take(stream, s.bytes);
  emulation_kernels.throws(stream, static_cast<int*>(mine));  // full of -1
  s.kernels.add(stream, x, 1, s.count);
  s.runtime.record(event, stream);
  const std::string first = loss_of([&] { s.runtime.wait_for(event); });
  EXPECT_NE(first.find("emulation_test"), std::string::npos) << first;
  EXPECT_EQ(x[0], 0) << "nothing runs behind a fault";
  EXPECT_EQ(loss_of([&] { s.kernels.add(other, x, 1, s.count); }), first);
  EXPECT_EQ(loss_of([&] { s.kernels.add({}, x, 1, s.count); }), first);
  EXPECT_EQ(loss_of([&] { s.runtime.synchronize(other); }), first);
  EXPECT_EQ(loss_of([&] { s.runtime.take(other, 1); }), first);
  EXPECT_EQ(loss_of([&] { s.runtime.download({}, x, x, 0); }), first);
  EXPECT_EQ(loss_of([&] { s.runtime.record(event, other); }), first);
  s.runtime.give(stream, mine, s.bytes);
  s.runtime.give(stream, mine,
                 s.bytes);  // another error, which throws nothing and replaces nothing
  EXPECT_EQ(loss_of([&] { s.runtime.synchronize(stream); }), first);
  emulation::reset_device();
  s.kernels.add(stream, x, 1, s.count);
  EXPECT_EQ(s.value(stream, x), 1);
}

TEST(LazyStreams, ALaunchThatTheGpuRefusesIsNoFault) {
  Streams s(the_run());
  const Stream stream = s.stream();
  EXPECT_NE(refusal_of([&] { emulation_kernels.shaped(stream, {.block = {2048, 1, 1}}); }), "");
  EXPECT_EQ(refusal_of([&] { s.runtime.synchronize(stream); }), "");
}

TEST(LazyStreams, AnyProgramWithItsWaitsEndsAndIsRight) {
  for (const unsigned seed : {1u, 2u, 3u}) {
    Streams s(the_run());
    std::mt19937 random(seed);
    std::vector<Stream> streams;
    for (int i = 0; i < 4; ++i) streams.push_back(s.stream());
    const Event last = s.event();
    float *x = s.floats(1), expected = 1;
    size_t before = 0;
    for (int step = 0; step < 60; ++step) {
      const size_t mine = random() % streams.size();
      if (mine != before) {
        s.runtime.record(last, streams[before]);
        s.runtime.wait(streams[mine], last);
      }
      before = mine;
      const auto more = float(random() % 5);
      s.kernels.add(streams[mine], x, more, s.count);
      expected += more;
      if (random() % 16 == 0) s.runtime.synchronize(streams[random() % streams.size()]);
    }
    EXPECT_EQ(s.value(streams[before], x), expected);
  }
}

TEST(LazyStreams, ThreadsShareTheDevice) {
  Streams s(the_run());
  std::vector<float*> x;
  std::vector<Stream> streams;
  for (int i = 0; i < 3; ++i) {
    x.push_back(s.floats(0));
    streams.push_back(s.stream());
  }
  std::vector<std::thread> threads;
  for (size_t i = 0; i < x.size(); ++i)
    threads.emplace_back([&, i] {
      for (int round = 0; round < 20; ++round) {
        s.kernels.add(streams[i], x[i], 1, 10);
        if (round % 7 == 0) s.runtime.synchronize(streams[i]);
      }
      s.runtime.synchronize(streams[i]);
    });
  for (std::thread& t : threads) t.join();
  for (const float* y : x) EXPECT_EQ(y[0], 20);
}

TEST(LazyStreams, ACaptureIsItsThreadsAlone) {
  Streams s(the_run());
  const Stream stream = s.stream(), other = s.stream();
  float *x = s.floats(0), *y = s.floats(0);
  s.runtime.begin_capture(stream);
  std::string refused = "not run";
  std::thread([&] {
    refused = refusal_of([&] {
      s.kernels.add(other, y, 1, s.count);
      s.runtime.synchronize(other);
      s.runtime.give(other, s.runtime.take(other, 8), 8);
    });
  }).join();
  s.kernels.add(stream, x, 1, s.count);
  s.runtime.drop_graph(s.runtime.end_capture(stream));
  EXPECT_EQ(refused, "");
  EXPECT_EQ(s.value(other, y), 1);
  EXPECT_EQ(s.value(stream, x), 0);
}

TEST(LazyStreams, ADroppedStreamHasRunAndIsNoStreamAnyMore) {
  Streams s(the_run());
  float* x = s.floats(0);
  const Stream stream = s.runtime.make_stream();
  void* memory = s.runtime.take(stream, s.bytes);
  s.kernels.add(stream, x, 1, s.count);
  s.runtime.drop_stream(stream);
  EXPECT_EQ(x[0], 1);
  EXPECT_NE(refusal_of([&] { s.kernels.add(stream, x, 1, s.count); }), "");
  s.runtime.give(stream, memory, s.bytes);
  EXPECT_NE(loss_of([&] { s.runtime.synchronize({}); }).find("dropped"), std::string::npos);
  emulation::reset_device();
}

TEST(LazyStreams, RangesAreKept) {
  const kernels::Runtime& r = *the_run().runtime;
  const emulation::RangeLog log;
  r.begin_range("network");
  r.begin_range("conv1");
  r.end_range();
  r.end_range();
  ASSERT_EQ(log.ranges().size(), 2u);
  EXPECT_EQ(log.ranges()[1].name, "conv1");
  EXPECT_EQ(log.ranges()[1].depth, 1);
  EXPECT_EQ(emulation::open_ranges(), 0);
}

}  // namespace
}  // namespace kinema::test
