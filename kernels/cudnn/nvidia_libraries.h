#pragma once
#include <cstdint>
#include <string>
#include <vector>
#include "kernels/base/backend.h"

namespace kinema::kernels {

/// A library of NVIDIA's as it is found on this machine.
struct NvidiaLibrary {
  const char* name = "";     ///< cuDNN, cuBLASLt
  std::string path = {};     ///< of the file that was opened; "" where there is none
  std::string version = {};  ///< as in 9.19.0
  std::string missing = {};  ///< one sentence why it cannot be used; "" where it can
  std::string warning = {};  ///< what is known to go wrong in this version; "" if nothing
};

/// Opens cuDNN and cuBLASLt, and says what came of it. Its address is null in a program that was
/// built without their headers.
KERNELS_OPTIONAL std::vector<NvidiaLibrary> nvidia_libraries();

/// What a cuDNN of this version (major * 10000 + minor * 100 + patch) gets wrong of what is asked
/// of it here; "" if nothing is known.
std::string warning_of_cudnn(int64_t version);

}  // namespace kinema::kernels
