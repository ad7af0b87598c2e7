// A libcuda.so.1 without a GPU, for tests of plans: cuDNN compiles the kernels of a plan for a GPU
// that is described to it, but wants to load them too. Here loading works, and nothing else does.
// What it looks for in a driver was seen with cuDNN 9.19.

namespace {

constexpr int no_device = 34;  // CUDA_ERROR_STUB_LIBRARY
char loaded[4096];

int gives(void** result) {
  *result = loaded;
  return 0;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))
#define REFUSES(name)                       \
  EXPORTED int name() { return no_device; } \
  static_assert(true, "a semicolon follows")
#define GIVES(name)                                          \
  EXPORTED int name(void** result) { return gives(result); } \
  static_assert(true, "a semicolon follows")

REFUSES(cuCtxGetCurrent);
REFUSES(cuCtxGetDevice);
REFUSES(cuCtxGetLimit);
REFUSES(cuCtxPopCurrent);
REFUSES(cuCtxPushCurrent);
REFUSES(cuDeviceGet);
REFUSES(cuDeviceGetAttribute);
REFUSES(cuDeviceGetCount);
REFUSES(cuDevicePrimaryCtxRelease);
REFUSES(cuDevicePrimaryCtxReset);
REFUSES(cuDevicePrimaryCtxRetain);
REFUSES(cuDriverGetVersion);
REFUSES(cuFuncGetAttribute);
REFUSES(cuFuncSetAttribute);
REFUSES(cuGetErrorName);
REFUSES(cuGetErrorString);
REFUSES(cuInit);
REFUSES(cuKernelGetAttribute);
REFUSES(cuKernelSetAttribute);
REFUSES(cuLaunchCooperativeKernel);
REFUSES(cuLaunchKernel);
REFUSES(cuLaunchKernelEx);
REFUSES(cuLibraryLoadFromFile);
REFUSES(cuLibraryUnload);
REFUSES(cuLinkAddData);
REFUSES(cuLinkAddData_v2);
REFUSES(cuLinkAddFile_v2);
REFUSES(cuLinkComplete);
REFUSES(cuLinkCreate);
REFUSES(cuLinkCreate_v2);
REFUSES(cuLinkDestroy);
REFUSES(cuMemcpyDtoH_v2);
REFUSES(cuModuleGetGlobal_v2);
REFUSES(cuModuleUnload);
REFUSES(cuOccupancyMaxActiveBlocksPerMultiprocessor);
REFUSES(cuOccupancyMaxPotentialClusterSize);
REFUSES(cuStreamGetCtx);
REFUSES(cuStreamSynchronize);
REFUSES(cuTensorMapEncodeTiled);

GIVES(cuLibraryLoadData);
GIVES(cuLibraryGetKernel);
GIVES(cuModuleLoadData);
GIVES(cuModuleLoadDataEx);
GIVES(cuModuleLoadFatBinary);
GIVES(cuModuleGetFunction);
GIVES(cuKernelGetFunction);
