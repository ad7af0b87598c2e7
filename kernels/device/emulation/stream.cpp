#include "kernels/device/emulation/stream.h"
#include <deque>
#include <map>
#include <mutex>
#include <utility>
#include "kernels/device/host_state.h"

namespace kinema::kernels::device::emulation {

namespace {

using Work = std::shared_ptr<const std::function<void()>>;
using Recording = std::vector<Work>;

struct Queue {
  std::deque<Work> waiting;
  int64_t done = 0;  ///< how many have run: work number i runs when done is i
  std::shared_ptr<Recording> recording;
  int64_t end() const { return done + int64_t(waiting.size()); }
};

/// Behind the first `number` of what the queue was given; without a queue, behind nothing.
struct Place {
  std::shared_ptr<Queue> queue;
  int64_t number = 0;
  bool reached() const { return !queue || queue->done >= number; }
};

struct EventState {
  Place place;
  std::shared_ptr<Recording> inside;  ///< the recording that it was recorded in last, if any
  int asked = 0;                      ///< times in a row, in vain
};

/// What handles stand for. A handle is never used again, so that a late one is seen to be so.
template <class T>
class Handles {
 public:
  explicit Handles(const char* kind) : kind_(kind) {}
  void* add(std::shared_ptr<T> item) {
    void* handle = reinterpret_cast<void*>(++last_);
    items_[handle] = std::move(item);
    return handle;
  }
  std::shared_ptr<T> get(void* handle) const {
    const auto found = items_.find(handle);
    check(found != items_.end(), "emulation: expected a ", kind_, ", got one that was dropped");
    return found->second;
  }
  void drop(void* handle) { items_.erase(handle); }
  const std::map<void*, std::shared_ptr<T>>& all() const { return items_; }

 private:
  const char* kind_;
  std::map<void*, std::shared_ptr<T>> items_;
  uintptr_t last_ = 0;
};

struct State {
  std::recursive_mutex lock;  ///< of all else: work that runs may reach enqueue's kin again
  Handles<Queue> streams{"stream"};
  Handles<EventState> events{"event"};
  Handles<Recording> graphs{"graph"};
  std::vector<Range> ranges;
  bool keeps_ranges = false;
};
State& state() {
  static State& all = *new State;  // outlives whatever gives back memory at the end
  return all;
}
using Guard = std::lock_guard<std::recursive_mutex>;

thread_local int depth = 0;

/// Runs what the queue was given up to `number`. Work waits for what was given earlier alone, so
/// the queues that are being run, one within the other, never ask for each other: no deadlock.
void run_to(Queue& q, int64_t number) {
  while (q.done < number && !q.waiting.empty()) {
    const Work work = std::move(q.waiting.front());
    q.waiting.pop_front();
    try {
      if (!device_is_lost()) (*work)();
    } catch (const std::exception& e) {
      lose_device(e.what());
    }
    ++q.done;
  }
}

void run_to(const Place& place) {
  if (place.queue) run_to(*place.queue, place.number);
}

void put(Stream stream, const Work& work) {
  if (!stream.handle) return (*work)();
  Queue& q = *state().streams.get(stream.handle);
  if (q.recording)
    q.recording->push_back(work);
  else
    q.waiting.push_back(work);
}

}  // namespace

void enqueue(Stream stream, std::function<void()> work) {
  check_device();
  if (!stream.handle) return work();  // without the lock: what it runs may take its time
  const Guard guard(state().lock);
  put(stream, std::make_shared<const std::function<void()>>(std::move(work)));
}

void run_everything() {
  const Guard guard(state().lock);
  for (const auto& [handle, queue] : state().streams.all()) run_to(*queue, queue->end());
}

void start(const Launch& l, Stream stream,
           std::shared_ptr<const void> (*keep)(const void* context)) {
  check_device();
  if (!stream.handle) return run(l);
  check_geometry(l);
  enqueue(stream, [l, name = std::string(l.name), context = keep(l.context)] {
    Launch mine = l;
    mine.name = name.c_str();
    mine.context = context.get();
    run(mine);
  });
  if (synchronous_launches() && !capturing()) synchronize(stream);
}

Stream make_stream() {
  const Guard guard(state().lock);
  return {state().streams.add(std::make_shared<Queue>())};
}

void drop_stream(Stream stream) {
  const Guard guard(state().lock);
  const auto found = state().streams.all().find(stream.handle);
  if (found == state().streams.all().end()) return;
  run_to(*found->second, found->second->end());
  state().streams.drop(stream.handle);
}

void synchronize(Stream stream) {
  check_no_capture("synchronize");
  if (stream.handle) {
    const Guard guard(state().lock);
    Queue& q = *state().streams.get(stream.handle);
    run_to(q, q.end());
  }
  check_device();
}

Event make_event() {
  const Guard guard(state().lock);
  return {state().events.add(std::make_shared<EventState>())};
}

void drop_event(Event event) {
  const Guard guard(state().lock);
  state().events.drop(event.handle);
}

void record(Event event, Stream stream) {
  check_device();
  const Guard guard(state().lock);
  EventState& e = *state().events.get(event.handle);
  e = {};
  if (!stream.handle) return;
  const std::shared_ptr<Queue> q = state().streams.get(stream.handle);
  e.inside = q->recording;
  if (!q->recording) e.place = {q, q->end()};
}

void wait(Stream stream, Event event) {
  check_device();
  const Guard guard(state().lock);
  const EventState& e = *state().events.get(event.handle);
  std::shared_ptr<Queue> q;
  if (stream.handle) q = state().streams.get(stream.handle);
  const std::shared_ptr<Recording> mine = q ? q->recording : nullptr;
  if (e.inside != mine && (e.inside || e.place.queue))
    break_capture("wait: an event may not cross the edge of a capture");
  if (!e.place.queue || e.place.queue == q) return;
  enqueue(stream, [place = e.place] { run_to(place); });
}

void wait_for(Event event) {
  check_no_capture("wait_for");
  {
    const Guard guard(state().lock);
    const EventState& e = *state().events.get(event.handle);
    check(!e.inside, "wait_for: the event was recorded in a capture");
    run_to(e.place);
  }
  check_device();
}

bool passed(Event event) {
  check_no_capture("passed");
  const Guard guard(state().lock);
  EventState& e = *state().events.get(event.handle);
  check(!e.inside, "passed: the event was recorded in a capture");
  constexpr int patience = 100;
  if (!e.place.reached() && ++e.asked == patience) run_to(e.place);
  check_device();
  return e.place.reached();
}

void begin_capture(Stream stream) {
  check_device();
  check(stream.handle, "begin_capture: the null stream cannot be captured; make one");
  const Guard guard(state().lock);
  Queue& q = *state().streams.get(stream.handle);
  check(!q.recording, "begin_capture: the stream is captured already");
  enter_capture();
  q.recording = std::make_shared<Recording>();
}

Graph end_capture(Stream stream) {
  const Guard guard(state().lock);
  Queue& q = *state().streams.get(stream.handle);
  check(q.recording && capturing(), "end_capture: this thread does not capture the stream");
  const std::shared_ptr<Recording> made = std::exchange(q.recording, nullptr);
  const std::string broken = leave_capture();
  check(broken.empty(), "end_capture: the capture was broken by ", broken);
  return {state().graphs.add(made)};
}

void replay(Graph graph, Stream stream) {
  check_device();
  check_no_capture("replay");
  const Guard guard(state().lock);
  for (const Work& work : *state().graphs.get(graph.handle)) put(stream, work);
  if (synchronous_launches()) synchronize(stream);
}

void drop_graph(Graph graph) {
  const Guard guard(state().lock);
  state().graphs.drop(graph.handle);
}

int64_t pending(Stream stream) {
  const Guard guard(state().lock);
  return int64_t(state().streams.get(stream.handle)->waiting.size());
}

void reset_device() {
  const Guard guard(state().lock);
  lose_device("reset");  // so that what streams hold is passed over
  run_everything();
  for (const auto& [handle, queue] : state().streams.all()) queue->recording = nullptr;
  if (capturing()) leave_capture();
  forget_loss();
}

void begin_range(const char* name) {
  const Guard guard(state().lock);
  if (state().keeps_ranges) state().ranges.push_back({name, depth});
  ++depth;
}
void end_range() { --depth; }
int open_ranges() { return depth; }

RangeLog::RangeLog() {
  const Guard guard(state().lock);
  state().ranges.clear();
  state().keeps_ranges = true;
}
RangeLog::~RangeLog() {
  const Guard guard(state().lock);
  state().keeps_ranges = false;
}
std::vector<Range> RangeLog::ranges() const {
  const Guard guard(state().lock);
  return state().ranges;
}

}  // namespace kinema::kernels::device::emulation
