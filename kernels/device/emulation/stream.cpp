#include <chrono>
#include <cstring>
#include "kernels/device/emulation/emulation.h"
#include "kernels/device/host_state.h"

namespace kinema::kernels {

namespace device::emulation {

namespace {

int devices() { return 1; }
std::string missing() { return ""; }
void choose(int device) {
  check(device == 0, "device: the emulation has one GPU, number 0, got ", device);
}
const Gpu& gpu() { return settings().gpu; }

void* take(Stream, int64_t bytes) { return allocate(bytes); }
void give(Stream, void* memory, int64_t) { release(memory); }
DeviceMemory memory() { return {}; }
void* take_workspace(Stream stream, int64_t bytes) {
  const MemorySource* source = workspace_source();
  return source ? source->take(source->context, stream, bytes) : take(stream, bytes);
}
void give_workspace(Stream stream, void* memory, int64_t bytes) {
  const MemorySource* source = workspace_source();
  source ? source->give(source->context, stream, memory, bytes) : give(stream, memory, bytes);
}
void workspace_from(const MemorySource* source) { workspace_source() = source; }
void* allocate_pinned(int64_t bytes) {
  void* memory = std::malloc(size_t(bytes) + 1);
  add_pinned(memory, bytes);
  return memory;
}
void release_pinned(void* memory) {
  remove_pinned(memory);
  std::free(memory);
}

void copy(Stream, const void* from, void* to, int64_t bytes) {
  std::memcpy(to, from, size_t(bytes));
}
void copy_pinned(Stream stream, const void* from, void* to, int64_t bytes) {
  copy(stream, from, to, bytes);
}
void clear(Stream, void* memory, int64_t bytes) { std::memset(memory, 0, size_t(bytes)); }

Stream make_stream() { return {new int}; }
void drop_stream(Stream stream) { delete static_cast<int*>(stream.handle); }
void synchronize(Stream) {}
Event make_event() { return {}; }
void drop_event(Event) {}
void record(Event, Stream) {}
void wait(Stream, Event) {}
void wait_for(Event) {}
bool passed(Event) { return true; }
void begin_capture(Stream) { fail("begin_capture: the emulation cannot capture"); }
Graph end_capture(Stream) { fail("end_capture: the emulation cannot capture"); }
void replay(Graph, Stream) { fail("replay: the emulation cannot capture"); }
void drop_graph(Graph) {}

double seconds(Stream, void (*work)(void*), void* context) {
  const auto begin = std::chrono::steady_clock::now();
  work(context);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}
void begin_range(const char*) {}
void end_range() {}

}  // namespace

}  // namespace device::emulation

namespace emulation = device::emulation;

const Runtime runtime_emulated = {
    .devices = emulation::devices,
    .missing = emulation::missing,
    .choose = emulation::choose,
    .gpu = emulation::gpu,
    .allocate = emulation::allocate,
    .release = emulation::release,
    .take = emulation::take,
    .give = emulation::give,
    .memory = emulation::memory,
    .take_workspace = emulation::take_workspace,
    .give_workspace = emulation::give_workspace,
    .workspace_from = emulation::workspace_from,
    .allocate_pinned = emulation::allocate_pinned,
    .release_pinned = emulation::release_pinned,
    .upload = emulation::copy,
    .download = emulation::copy,
    .upload_later = emulation::copy_pinned,
    .download_later = emulation::copy_pinned,
    .copy = emulation::copy,
    .clear = emulation::clear,
    .make_stream = emulation::make_stream,
    .drop_stream = emulation::drop_stream,
    .synchronize = emulation::synchronize,
    .make_event = emulation::make_event,
    .drop_event = emulation::drop_event,
    .record = emulation::record,
    .wait = emulation::wait,
    .wait_for = emulation::wait_for,
    .passed = emulation::passed,
    .begin_capture = emulation::begin_capture,
    .end_capture = emulation::end_capture,
    .replay = emulation::replay,
    .drop_graph = emulation::drop_graph,
    .seconds = emulation::seconds,
    .begin_range = emulation::begin_range,
    .end_range = emulation::end_range,
};

}  // namespace kinema::kernels
