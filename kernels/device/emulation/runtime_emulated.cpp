#include <chrono>
#include <cstring>
#include "kernels/device/emulation/stream.h"
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

void* take_workspace(Stream stream, int64_t bytes) {
  const MemorySource* source = workspace_source();
  return source ? source->take(source->context, stream, bytes) : take(stream, bytes);
}
void give_workspace(Stream stream, void* memory, int64_t bytes) {
  const MemorySource* source = workspace_source();
  source ? source->give(source->context, stream, memory, bytes) : give(stream, memory, bytes);
}
void workspace_from(const MemorySource* source) { workspace_source() = source; }

void copy(Stream stream, const void* from, void* to, int64_t bytes) {
  enqueue(stream, [=] { std::memcpy(to, from, size_t(bytes)); });
}
void upload(Stream stream, const void* host, void* device, int64_t bytes) {
  check_no_capture("upload");
  synchronize(stream);
  copy({}, host, device, bytes);
}
void download(Stream stream, const void* device, void* host, int64_t bytes) {
  check_no_capture("download");
  synchronize(stream);
  copy({}, device, host, bytes);
}
/// Memory that is no longer pinned when the stream comes to it is found then.
void copy_pinned(const char* name, Stream stream, const void* pinned, const void* from, void* to,
                 int64_t bytes) {
  check_pinned(name, pinned, bytes);
  enqueue(stream, [=] {
    check_pinned(name, pinned, bytes);
    std::memcpy(to, from, size_t(bytes));
  });
}
void upload_later(Stream stream, const void* pinned, void* device, int64_t bytes) {
  copy_pinned("upload", stream, pinned, pinned, device, bytes);
}
void download_later(Stream stream, const void* device, void* pinned, int64_t bytes) {
  copy_pinned("download", stream, pinned, device, pinned, bytes);
}
void clear(Stream stream, void* memory, int64_t bytes) {
  enqueue(stream, [=] { std::memset(memory, 0, size_t(bytes)); });
}

double seconds(Stream stream, void (*work)(void*), void* context) {
  check_no_capture("seconds");
  synchronize(stream);
  const auto begin = std::chrono::steady_clock::now();
  work(context);
  synchronize(stream);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

}  // namespace device::emulation

namespace emulation = device::emulation;

const Runtime runtime_emulated = {
    .devices = emulation::devices,
    .missing = emulation::missing,
    .choose = emulation::choose,
    .gpu = emulation::gpu,
    .allocate = emulation::allocate_counted,
    .release = emulation::release_counted,
    .take = emulation::take,
    .give = emulation::give,
    .memory = emulation::memory,
    .take_workspace = emulation::take_workspace,
    .give_workspace = emulation::give_workspace,
    .workspace_from = emulation::workspace_from,
    .allocate_pinned = emulation::allocate_pinned,
    .release_pinned = emulation::release_pinned,
    .upload = emulation::upload,
    .download = emulation::download,
    .upload_later = emulation::upload_later,
    .download_later = emulation::download_later,
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
