#include "kernels/device/host_state.h"
#include "kernels/device/launch.h"
#if KERNELS_CUDA
#include <map>
#include <mutex>
#else
#include "kernels/device/emulation/stream.h"
#endif

namespace kinema::kernels::device::inline KERNELS_TWIN {

const Gpu& gpu() { return KERNELS_DEVICE(runtime).gpu(); }

Workspace::Workspace(Stream stream, int64_t bytes)
    : stream_(stream),
      bytes_(bytes),
      memory_(KERNELS_DEVICE(runtime).take_workspace(stream, bytes)) {}
Workspace::~Workspace() { KERNELS_DEVICE(runtime).give_workspace(stream_, memory_, bytes_); }

void clear(Stream stream, void* memory, int64_t bytes) {
  KERNELS_DEVICE(runtime).clear(stream, memory, bytes);
}
void read_back(Stream stream, const void* device, void* host, int64_t bytes) {
  KERNELS_DEVICE(runtime).download(stream, device, host, bytes);
}

#if KERNELS_CUDA

namespace {

/// Errors behind which the context is of no use, so that every later call fails.
/// Source: CUDA Runtime API, enum cudaError: "the process must be terminated and relaunched".
bool loses_device(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorExternalDevice:
      return true;
    default:
      return false;
  }
}

/// Lets a kernel have `bytes` of dynamic shared memory, and never less again: the limit is the
/// kernel's, not the launch's, and captured launches and those of other threads may need more.
/// Below 48 KB too, which a kernel's static shared memory is part of.
void allow_shared(const char* name, const void* kernel, int64_t bytes) {
  static std::mutex lock;
  static std::map<std::pair<const Gpu*, const void*>, int64_t> allowed;
  const std::lock_guard guard(lock);
  int64_t& most = allowed[{&gpu(), kernel}];
  if (bytes <= most) return;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)),
             name);
  most = bytes;
}

}  // namespace

void check_cuda(cudaError_t status, const char* name) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // is reported here, not by the next launch
  const std::string text = std::string(name) + ": CUDA says " + cudaGetErrorName(status) + ": " +
                           cudaGetErrorString(status);
  if (!loses_device(status)) fail(text);
  lose_device(text + "; the device is lost" +
              (synchronous_launches() ? "" : "; KINEMA_SYNC=1 names the operation at fault"));
  check_device();
}

void start(const char* name, const void* kernel, const Geometry& g, Stream stream,
           void** arguments) {
  const auto queue = static_cast<cudaStream_t>(stream.handle);
  if (g.shared_bytes > 0) allow_shared(name, kernel, g.shared_bytes);
  cudaLaunchAttribute attributes[2] = {};
  cudaLaunchConfig_t config = {};
  config.gridDim = g.grid;
  config.blockDim = g.block;
  config.dynamicSmemBytes = size_t(g.shared_bytes);
  config.stream = queue;
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
  if (synchronous_launches() && !capturing()) check_cuda(cudaStreamSynchronize(queue), name);
}

#else

void start(const char* name, const void* kernel, const Geometry& g, Stream stream,
           const Body& body) {
  emulation::start({.name = name,
                    .kernel = kernel,
                    .grid = g.grid,
                    .block = g.block,
                    .cluster = g.cluster,
                    .shared_bytes = g.shared_bytes,
                    .cooperative = g.cooperative,
                    .run = body.run,
                    .context = body.context},
                   stream, body.keep);
}

#endif

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
