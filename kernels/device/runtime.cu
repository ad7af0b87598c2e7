#include "kernels/base/runtime.h"
#include "kernels/device/host_state.h"
#include "kernels/device/launch.h"
// The emulation's is emulation/stream.cpp.
#if KERNELS_CUDA
#include <map>
#include <memory>
#include <mutex>
#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define KERNELS_NVTX 1
#endif

namespace kinema::kernels::device::inline KERNELS_TWIN {

namespace {

cudaStream_t handle(Stream stream) { return static_cast<cudaStream_t>(stream.handle); }
cudaEvent_t handle(Event event) { return static_cast<cudaEvent_t>(event.handle); }
cudaGraphExec_t handle(Graph graph) { return static_cast<cudaGraphExec_t>(graph.handle); }

/// CUDA refuses to allocate nothing.
size_t at_least_one(int64_t bytes) { return size_t(std::max<int64_t>(bytes, 1)); }

/// What this thread knows of its device, once it has asked.
struct Current {
  const Gpu* gpu = nullptr;
  cudaMemPool_t pool = nullptr;
};
thread_local Current current;

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  check_cuda(cudaDeviceGetAttribute(&value, which, device), "device");
  return value;
}

Gpu query(int device, const char* name) {
  return {
      .name = name,
      .multiprocessors = attribute(cudaDevAttrMultiProcessorCount, device),
      .threads_per_multiprocessor = attribute(cudaDevAttrMaxThreadsPerMultiProcessor, device),
      .registers_per_multiprocessor = attribute(cudaDevAttrMaxRegistersPerMultiprocessor, device),
      .shared_per_block = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
      .shared_per_multiprocessor = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor, device),
      .l2_bytes = attribute(cudaDevAttrL2CacheSize, device),
      .compute_capability = attribute(cudaDevAttrComputeCapabilityMajor, device) * 10 +
                            attribute(cudaDevAttrComputeCapabilityMinor, device)};
}

int devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  (void)cudaGetLastError();
  return 0;
}

std::string missing() {
  int count = 0, driver = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  (void)cudaGetLastError();
  if (status == cudaSuccess && count > 0) return "";
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return "no NVIDIA driver is installed (libcuda.so.1 was not found)";
  const auto version = [](int v) {
    return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10);
  };
  if (status == cudaErrorInsufficientDriver)
    return "the NVIDIA driver is of CUDA " + version(driver) + ", this program of CUDA " +
           version(CUDART_VERSION) + ": update the driver";
  if (status == cudaSuccess || status == cudaErrorNoDevice)
    return "the NVIDIA driver shows no GPU (CUDA_VISIBLE_DEVICES may hide them)";
  return std::string("CUDA says ") + cudaGetErrorName(status) + ": " + cudaGetErrorString(status);
}

const Gpu& current_gpu() {
  static std::mutex lock;
  static std::map<int, std::pair<cudaDeviceProp, Gpu>> known;
  if (current.gpu) return *current.gpu;
  int device = 0;
  check_cuda(cudaGetDevice(&device), "device");
  const std::lock_guard guard(lock);
  if (!known.count(device)) {
    auto& [properties, gpu] = known[device];
    check_cuda(cudaGetDeviceProperties(&properties, device), "device");
    gpu = query(device, properties.name);
  }
  current.gpu = &known[device].second;
  return *current.gpu;
}

void choose(int device) {
  const int count = devices();
  check(count > 0, "device: ", missing());
  check(device >= 0 && device < count, "device: expected one of the ", count,
        " GPUs from 0 on, got ", device);
  check_cuda(cudaSetDevice(device), "device");
  current = {};
  const Gpu& gpu = current_gpu();
  check(gpu.compute_capability >= 80, "device: expected compute capability 8.0 or later, got ",
        gpu.name, " of ", gpu.compute_capability / 10, ".", gpu.compute_capability % 10);
}

/// The device's pool, told to keep what is given back instead of returning it to the system.
cudaMemPool_t pool() {
  if (current.pool) return current.pool;
  int device = 0;
  cudaMemPool_t found;
  check_cuda(cudaGetDevice(&device), "device memory");
  check_cuda(cudaDeviceGetDefaultMemPool(&found, device), "device memory");
  uint64_t threshold = UINT64_MAX;
  check_cuda(cudaMemPoolSetAttribute(found, cudaMemPoolAttrReleaseThreshold, &threshold),
             "device memory");
  return current.pool = found;
}

DeviceMemory memory() {
  const auto attribute_of_pool = [](cudaMemPoolAttr which) {
    uint64_t bytes = 0;
    check_cuda(cudaMemPoolGetAttribute(pool(), which, &bytes), "device memory");
    return int64_t(bytes);
  };
  size_t free = 0, total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "device memory");
  return {.used = attribute_of_pool(cudaMemPoolAttrUsedMemCurrent),
          .held = attribute_of_pool(cudaMemPoolAttrReservedMemCurrent),
          .free = int64_t(free),
          .total = int64_t(total)};
}

/// `get()`, and where memory has run out once more, when the stream is done and the pool has handed
/// back to the system what nobody uses.
template <class F>
void get_memory(Stream stream, int64_t bytes, F get) {
  cudaError_t status = get();
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    check_cuda(cudaStreamSynchronize(handle(stream)), "device memory");
    check_cuda(cudaMemPoolTrimTo(pool(), 0), "device memory");
    status = get();
  }
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    fail_out_of_memory(bytes, memory());
  }
  check_cuda(status, "device memory");
}

void* allocate(int64_t bytes) {
  check_no_capture("allocate");
  void* memory = nullptr;
  get_memory({}, bytes, [&] { return cudaMalloc(&memory, at_least_one(bytes)); });
  return memory;
}
void release(void* memory) {
  after_capture([=] { (void)cudaFree(memory); });
}
void* take(Stream stream, int64_t bytes) {
  check_no_capture("take");
  void* memory = nullptr;
  pool();
  get_memory(stream, bytes,
             [&] { return cudaMallocAsync(&memory, at_least_one(bytes), handle(stream)); });
  return memory;
}
void give(Stream stream, void* memory, int64_t) {
  after_capture([=] { (void)cudaFreeAsync(memory, handle(stream)); });
}
void* allocate_pinned(int64_t bytes) {
  check_no_capture("allocate_pinned");
  void* memory = nullptr;
  const cudaError_t status = cudaHostAlloc(&memory, at_least_one(bytes), cudaHostAllocPortable);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    fail("pinned memory: expected ", (bytes >> 20) + 1,
         " MiB of the host's memory, which has run out; take a smaller --batch");
  }
  check_cuda(status, "pinned memory");
  add_pinned(memory, bytes);
  return memory;
}
void release_pinned(void* memory) {
  remove_pinned(memory);
  after_capture([=] { (void)cudaFreeHost(memory); });
}

void copy_later(const char* name, Stream stream, const void* from, void* to, int64_t bytes,
                cudaMemcpyKind kind) {
  check_cuda(cudaMemcpyAsync(to, from, size_t(bytes), kind, handle(stream)), name);
}
void upload(Stream stream, const void* host, void* device, int64_t bytes) {
  check_no_capture("upload");
  copy_later("upload", stream, host, device, bytes, cudaMemcpyHostToDevice);
  check_cuda(cudaStreamSynchronize(handle(stream)), "upload");
}
void download(Stream stream, const void* device, void* host, int64_t bytes) {
  check_no_capture("download");
  copy_later("download", stream, device, host, bytes, cudaMemcpyDeviceToHost);
  check_cuda(cudaStreamSynchronize(handle(stream)), "download");
}
void upload_later(Stream stream, const void* pinned, void* device, int64_t bytes) {
  check_pinned("upload", pinned, bytes);
  copy_later("upload", stream, pinned, device, bytes, cudaMemcpyHostToDevice);
}
void download_later(Stream stream, const void* device, void* pinned, int64_t bytes) {
  check_pinned("download", pinned, bytes);
  copy_later("download", stream, device, pinned, bytes, cudaMemcpyDeviceToHost);
}
void copy_within(Stream stream, const void* from, void* to, int64_t bytes) {
  copy_later("copy", stream, from, to, bytes, cudaMemcpyDeviceToDevice);
}
void set_zero(Stream stream, void* memory, int64_t bytes) {
  check_cuda(cudaMemsetAsync(memory, 0, size_t(bytes), handle(stream)), "clear");
}

Stream make_stream() {
  cudaStream_t stream;  // one that does not wait for the null stream, nor that for it
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  return {stream};
}
void drop_stream(Stream stream) { (void)cudaStreamDestroy(handle(stream)); }
void synchronize(Stream stream) {
  check_no_capture("synchronize");
  check_cuda(cudaStreamSynchronize(handle(stream)), "synchronize");
}
Event make_event() {
  cudaEvent_t event;  // a thread that waits for it sleeps: decoding needs the cores
  check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync),
             "event");
  return {event};
}
void drop_event(Event event) { (void)cudaEventDestroy(handle(event)); }
void record(Event event, Stream stream) {
  check_cuda(cudaEventRecord(handle(event), handle(stream)), "record");
}
void wait(Stream stream, Event event) {
  check_cuda(cudaStreamWaitEvent(handle(stream), handle(event), 0), "wait");
}
void wait_for(Event event) {
  check_no_capture("wait_for");
  check_cuda(cudaEventSynchronize(handle(event)), "wait_for");
}
bool passed(Event event) {
  check_no_capture("passed");
  const cudaError_t status = cudaEventQuery(handle(event));
  if (status != cudaErrorNotReady)
    check_cuda(status, "passed");
  else
    (void)cudaGetLastError();
  return status == cudaSuccess;
}

void begin_capture(Stream stream) {
  check(stream.handle, "begin_capture: the null stream cannot be captured; make one");
  enter_capture();
  const cudaError_t status =
      cudaStreamBeginCapture(handle(stream), cudaStreamCaptureModeThreadLocal);
  if (status != cudaSuccess) leave_capture();
  check_cuda(status, "begin_capture");
}
Graph end_capture(Stream stream) {
  cudaGraph_t recorded = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(handle(stream), &recorded);
  const std::string broken = leave_capture();
  const std::shared_ptr<CUgraph_st> graph(recorded, [](cudaGraph_t g) {
    if (g) (void)cudaGraphDestroy(g);
  });
  check(broken.empty(), "end_capture: the capture was broken by ", broken);
  check_cuda(ended, "end_capture");
  cudaGraphExec_t made;
  check_cuda(cudaGraphInstantiate(&made, recorded, 0), "end_capture");
  check_cuda(cudaGraphUpload(made, handle(stream)), "end_capture");
  return {made};
}
void replay(Graph graph, Stream stream) {
  check_no_capture("replay");
  check_cuda(cudaGraphLaunch(handle(graph), handle(stream)), "replay");
  if (synchronous_launches()) check_cuda(cudaStreamSynchronize(handle(stream)), "replay");
}
void drop_graph(Graph graph) { (void)cudaGraphExecDestroy(handle(graph)); }

/// Two events that tell the time between them.
struct Timer {
  cudaEvent_t begin = nullptr, end = nullptr;
  Timer() {
    check_cuda(cudaEventCreate(&begin), "timer");
    check_cuda(cudaEventCreate(&end), "timer");
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() {
    (void)cudaEventDestroy(begin);
    (void)cudaEventDestroy(end);
  }
};
double seconds(Stream stream, void (*work)(void*), void* context) {
  check_no_capture("seconds");
  const Timer timer;
  check_cuda(cudaEventRecord(timer.begin, handle(stream)), "timer");
  work(context);
  check_cuda(cudaEventRecord(timer.end, handle(stream)), "timer");
  check_cuda(cudaEventSynchronize(timer.end), "timer");
  float milliseconds = 0;
  check_cuda(cudaEventElapsedTime(&milliseconds, timer.begin, timer.end), "timer");
  return double(milliseconds) * 1e-3;
}

#if KERNELS_NVTX
void begin_range(const char* name) { nvtxRangePushA(name); }
void end_range() { nvtxRangePop(); }
#else
void begin_range(const char*) {}
void end_range() {}
#endif

void* take_workspace(Stream stream, int64_t bytes) {
  const MemorySource* source = workspace_source();
  return source ? source->take(source->context, stream, bytes) : take(stream, bytes);
}
void give_workspace(Stream stream, void* memory, int64_t bytes) {
  const MemorySource* source = workspace_source();
  source ? source->give(source->context, stream, memory, bytes) : give(stream, memory, bytes);
}
void workspace_from(const MemorySource* source) { workspace_source() = source; }

}  // namespace

}  // namespace kinema::kernels::device::inline KERNELS_TWIN

namespace kinema::kernels {

const Runtime runtime_cuda = {
    .devices = device::devices,
    .missing = device::missing,
    .choose = device::choose,
    .gpu = device::current_gpu,
    .allocate = device::allocate,
    .release = device::release,
    .take = device::take,
    .give = device::give,
    .memory = device::memory,
    .take_workspace = device::take_workspace,
    .give_workspace = device::give_workspace,
    .workspace_from = device::workspace_from,
    .allocate_pinned = device::allocate_pinned,
    .release_pinned = device::release_pinned,
    .upload = device::upload,
    .download = device::download,
    .upload_later = device::upload_later,
    .download_later = device::download_later,
    .copy = device::copy_within,
    .clear = device::set_zero,
    .make_stream = device::make_stream,
    .drop_stream = device::drop_stream,
    .synchronize = device::synchronize,
    .make_event = device::make_event,
    .drop_event = device::drop_event,
    .record = device::record,
    .wait = device::wait,
    .wait_for = device::wait_for,
    .passed = device::passed,
    .begin_capture = device::begin_capture,
    .end_capture = device::end_capture,
    .replay = device::replay,
    .drop_graph = device::drop_graph,
    .seconds = device::seconds,
    .begin_range = device::begin_range,
    .end_range = device::end_range,
};

}  // namespace kinema::kernels

#endif
