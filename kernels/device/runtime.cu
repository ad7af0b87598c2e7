#include <chrono>
#include <cstdlib>
#include <cstring>
#include "kernels/device/launch.h"
#include "kernels/device/runtime.h"
#if !KERNELS_CUDA
#include "kernels/device/emulation/emulation.h"
#endif

namespace kinema::kernels::device::inline KERNELS_TWIN {

#if KERNELS_CUDA

namespace {

cudaStream_t handle(Stream stream) { return static_cast<cudaStream_t>(stream.handle); }

/// True if each launch is to be waited for, so that a fault names its operation.
bool synchronous() {
  static const bool on = [] {
    const char* set = std::getenv("KINEMA_SYNC");
    return set && *set && std::strcmp(set, "0") != 0;
  }();
  return on;
}

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  check_cuda(cudaDeviceGetAttribute(&value, which, device), "device");
  return value;
}

Gpu query() {
  int device = 0;
  check_cuda(cudaGetDevice(&device), "device");
  static cudaDeviceProp properties;
  check_cuda(cudaGetDeviceProperties(&properties, device), "device");
  return {
      .name = properties.name,
      .multiprocessors = attribute(cudaDevAttrMultiProcessorCount, device),
      .threads_per_multiprocessor = attribute(cudaDevAttrMaxThreadsPerMultiProcessor, device),
      .registers_per_multiprocessor = attribute(cudaDevAttrMaxRegistersPerMultiprocessor, device),
      .shared_per_block = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
      .shared_per_multiprocessor = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor, device),
      .l2_bytes = attribute(cudaDevAttrL2CacheSize, device),
      .compute_capability = attribute(cudaDevAttrComputeCapabilityMajor, device) * 10 +
                            attribute(cudaDevAttrComputeCapabilityMinor, device)};
}

/// Memory that the stream's pool keeps between passes instead of giving it back.
void keep_pool() {
  static const bool once = [] {
    int device = 0;
    cudaMemPool_t pool;
    check_cuda(cudaGetDevice(&device), "workspace");
    check_cuda(cudaDeviceGetDefaultMemPool(&pool, device), "workspace");
    uint64_t threshold = UINT64_MAX;
    check_cuda(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold),
               "workspace");
    return true;
  }();
  (void)once;
}

[[noreturn]] void fail_to_allocate(const char* name, int64_t bytes) {
  size_t free = 0, total = 0;
  (void)cudaGetLastError();  // is reported here, not by the next launch
  (void)cudaMemGetInfo(&free, &total);
  fail(name, ": expected ", bytes >> 20, " MiB of GPU memory, but ", free >> 20, " of ",
       total >> 20, " MiB are free; take a smaller batch");
}

}  // namespace

void check_cuda(cudaError_t status, const char* name) {
  if (status == cudaSuccess) return;
  fail(name, ": CUDA says ", cudaGetErrorName(status), ": ", cudaGetErrorString(status));
}

const Gpu& gpu() {
  static const Gpu current = query();
  return current;
}

Workspace::Workspace(Stream stream, int64_t bytes) : stream_(stream) {
  keep_pool();
  const size_t size = size_t(std::max<int64_t>(bytes, 1));
  if (cudaMallocAsync(&memory_, size, handle(stream)) != cudaSuccess)
    fail_to_allocate("workspace", bytes);
}
Workspace::~Workspace() { (void)cudaFreeAsync(memory_, handle(stream_)); }

void clear(Stream stream, void* memory, int64_t bytes) {
  check_cuda(cudaMemsetAsync(memory, 0, size_t(bytes), handle(stream)), "clear");
}
void read_back(Stream stream, const void* device, void* host, int64_t bytes) {
  check_cuda(cudaMemcpyAsync(host, device, size_t(bytes), cudaMemcpyDeviceToHost, handle(stream)),
             "read back");
  check_cuda(cudaStreamSynchronize(handle(stream)), "read back");
}

void start(const char* name, const void* kernel, const Geometry& g, Stream stream,
           void** arguments) {
  if (g.shared_bytes > 48 << 10)
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    int(g.shared_bytes)),
               name);
  cudaLaunchAttribute attributes[2] = {};
  cudaLaunchConfig_t config = {};
  config.gridDim = g.grid;
  config.blockDim = g.block;
  config.dynamicSmemBytes = size_t(g.shared_bytes);
  config.stream = handle(stream);
  config.attrs = attributes;
  if (g.cluster.x * g.cluster.y * g.cluster.z > 1) {
    attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
    attributes[config.numAttrs++].val.clusterDim = {g.cluster.x, g.cluster.y, g.cluster.z};
  }
  if (g.cooperative) {
    attributes[config.numAttrs].id = cudaLaunchAttributeCooperative;
    attributes[config.numAttrs++].val.cooperative = 1;
  }
  check_cuda(cudaLaunchKernelExC(&config, kernel, arguments), name);
  if (synchronous()) check_cuda(cudaStreamSynchronize(handle(stream)), name);
}

namespace {

int devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  (void)cudaGetLastError();
  return 0;
}
void* allocate(int64_t bytes) {
  void* memory = nullptr;
  if (cudaMalloc(&memory, size_t(std::max<int64_t>(bytes, 1))) != cudaSuccess)
    fail_to_allocate("device memory", bytes);
  return memory;
}
void release(void* memory) { check_cuda(cudaFree(memory), "device memory"); }
void upload(Stream stream, const void* host, void* device, int64_t bytes) {
  check_cuda(cudaMemcpyAsync(device, host, size_t(bytes), cudaMemcpyHostToDevice, handle(stream)),
             "upload");
  check_cuda(cudaStreamSynchronize(handle(stream)), "upload");
}
void copy_within(Stream stream, const void* from, void* to, int64_t bytes) {
  check_cuda(cudaMemcpyAsync(to, from, size_t(bytes), cudaMemcpyDeviceToDevice, handle(stream)),
             "copy");
}
void synchronize(Stream stream) {
  check_cuda(cudaStreamSynchronize(handle(stream)), "synchronize");
}
double seconds(Stream stream, void (*work)(void*), void* context) {
  cudaEvent_t begin, end;
  check_cuda(cudaEventCreate(&begin), "timer");
  check_cuda(cudaEventCreate(&end), "timer");
  check_cuda(cudaEventRecord(begin, handle(stream)), "timer");
  work(context);
  check_cuda(cudaEventRecord(end, handle(stream)), "timer");
  check_cuda(cudaEventSynchronize(end), "timer");
  float milliseconds = 0;
  check_cuda(cudaEventElapsedTime(&milliseconds, begin, end), "timer");
  check_cuda(cudaEventDestroy(begin), "timer");
  check_cuda(cudaEventDestroy(end), "timer");
  return double(milliseconds) * 1e-3;
}

}  // namespace

#else

namespace {

int devices() { return 1; }
void* allocate(int64_t bytes) { return emulation::allocate(bytes); }
void release(void* memory) { emulation::release(memory); }
void upload(Stream, const void* host, void* device, int64_t bytes) {
  std::memcpy(device, host, size_t(bytes));
}
void copy_within(Stream, const void* from, void* to, int64_t bytes) {
  std::memcpy(to, from, size_t(bytes));
}
void synchronize(Stream) {}
double seconds(Stream, void (*work)(void*), void* context) {
  const auto begin = std::chrono::steady_clock::now();
  work(context);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

const Gpu& gpu() { return emulation::settings().gpu; }

Workspace::Workspace(Stream stream, int64_t bytes)
    : stream_(stream), memory_(emulation::allocate(bytes)) {}
Workspace::~Workspace() { emulation::release(memory_); }

void clear(Stream, void* memory, int64_t bytes) { std::memset(memory, 0, size_t(bytes)); }
void read_back(Stream, const void* device, void* host, int64_t bytes) {
  std::memcpy(host, device, size_t(bytes));
}

void start(const char* name, const void* kernel, const Geometry& g, const Body& body) {
  emulation::run({.name = name,
                  .kernel = kernel,
                  .grid = g.grid,
                  .block = g.block,
                  .cluster = g.cluster,
                  .shared_bytes = g.shared_bytes,
                  .cooperative = g.cooperative,
                  .run = body.run,
                  .context = body.context});
}

#endif

}  // namespace kinema::kernels::device::inline KERNELS_TWIN

namespace kinema::kernels {

const Runtime KERNELS_DEVICE(runtime) = {
    .devices = device::devices,
    .gpu = device::gpu,
    .allocate = device::allocate,
    .release = device::release,
    .upload = device::upload,
    .download = device::read_back,
    .copy = device::copy_within,
    .synchronize = device::synchronize,
    .seconds = device::seconds,
};

}  // namespace kinema::kernels
