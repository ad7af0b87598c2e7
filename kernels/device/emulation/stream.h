#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>
#include "kernels/base/runtime.h"
#include "kernels/device/emulation/emulation.h"

// Streams of the emulation are as lazy as a GPU's may be: work that is put in one runs at the
// latest legal moment, when the host waits for it or when work that is being run waits for an event
// behind it. So what nobody waits for has not happened: a missing wait is a wrong value, on every
// run. The null stream runs all at once. One lock guards everything here; who waits runs the work.

namespace kinema::kernels::device::emulation {

/// What the table of the runtime is made of; kernels/base/runtime.h says what each does.
Stream make_stream();
void drop_stream(Stream);
void synchronize(Stream);
Event make_event();
void drop_event(Event);
void record(Event, Stream);
void wait(Stream, Event);
void wait_for(Event);
/// Runs nothing, but the hundredth time in a row that it is asked in vain it waits, so that a loop
/// that asks comes to an end.
bool passed(Event);
void begin_capture(Stream);
Graph end_capture(Stream);
void replay(Graph, Stream);
void drop_graph(Graph);

/// Puts work in the stream: at its end, in its recording, or, in the null stream, runs it.
void enqueue(Stream, std::function<void()> work);
/// Runs all that streams hold.
void run_everything();
/// One launch; `keep` copies its context, for streams that run it later.
void start(const Launch&, Stream, std::shared_ptr<const void> (*keep)(const void* context));

void* take(Stream, int64_t bytes);
/// All bits of the memory are set when the stream comes to it; what reads it later reads NaN, what
/// writes it is reported with the next error, when the memory goes back to the host.
void give(Stream, void*, int64_t bytes);
DeviceMemory memory();
void* allocate_counted(int64_t bytes);
void release_counted(void*);
void* allocate_pinned(int64_t bytes);
void release_pinned(void*);

/// For tests: how much work the stream holds that has not run.
int64_t pending(Stream);
/// For tests: gives back to the host what streams have given back, and looks whether somebody has
/// written there since.
void check_given_memory();
/// For tests, where an error has come or may come: the device is as new, but for its memory; what
/// streams hold is forgotten.
void reset_device();

/// A range that has begun, `depth` of them around it.
struct Range {
  std::string name;
  int depth = 0;
};
void begin_range(const char* name);
void end_range();
/// How many ranges of this thread have not ended.
int open_ranges();
/// Remembers the ranges that begin, of all threads, while it lives. One at a time.
class RangeLog {
 public:
  RangeLog();
  ~RangeLog();
  RangeLog(const RangeLog&) = delete;
  RangeLog& operator=(const RangeLog&) = delete;
  std::vector<Range> ranges() const;
};

}  // namespace kinema::kernels::device::emulation
