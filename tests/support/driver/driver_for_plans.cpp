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
#define REFUSES(name) \
  EXPORTED int name() { return no_device; }

REFUSES(cuCtxGetCurrent)
REFUSES(cuCtxGetDevice)
REFUSES(cuCtxGetLimit)
REFUSES(cuCtxPopCurrent)
REFUSES(cuCtxPushCurrent)
REFUSES(cuDeviceGet)
REFUSES(cuDeviceGetAttribute)
REFUSES(cuDeviceGetCount)
REFUSES(cuDevicePrimaryCtxRelease) REFUSES(cuDevicePrimaryCtxReset)
    REFUSES(cuDevicePrimaryCtxRetain) REFUSES(cuDriverGetVersion) REFUSES(cuFuncGetAttribute)
        REFUSES(cuFuncSetAttribute) REFUSES(cuGetErrorName) REFUSES(cuGetErrorString)
            REFUSES(cuInit) REFUSES(cuKernelGetAttribute) REFUSES(cuKernelSetAttribute)
                REFUSES(cuLaunchCooperativeKernel) REFUSES(cuLaunchKernel) REFUSES(cuLaunchKernelEx)
                    REFUSES(cuLibraryLoadFromFile) REFUSES(cuLibraryUnload) REFUSES(cuLinkAddData)
                        REFUSES(cuLinkAddData_v2) REFUSES(cuLinkAddFile_v2) REFUSES(cuLinkComplete)
                            REFUSES(cuLinkCreate) REFUSES(cuLinkCreate_v2) REFUSES(cuLinkDestroy)
                                REFUSES(cuMemcpyDtoH_v2) REFUSES(cuModuleGetGlobal_v2)
                                    REFUSES(cuModuleUnload)
                                        REFUSES(cuOccupancyMaxActiveBlocksPerMultiprocessor)
                                            REFUSES(cuOccupancyMaxPotentialClusterSize)
                                                REFUSES(cuStreamGetCtx) REFUSES(cuStreamSynchronize)
                                                    REFUSES(cuTensorMapEncodeTiled)

                                                        EXPORTED
    int cuLibraryLoadData(void** library) {
  return gives(library);
}
EXPORTED int cuLibraryGetKernel(void** kernel) { return gives(kernel); }
EXPORTED int cuModuleLoadData(void** module) { return gives(module); }
EXPORTED int cuModuleLoadDataEx(void** module) { return gives(module); }
EXPORTED int cuModuleLoadFatBinary(void** module) { return gives(module); }
EXPORTED int cuModuleGetFunction(void** function) { return gives(function); }
EXPORTED int cuKernelGetFunction(void** function) { return gives(function); }
