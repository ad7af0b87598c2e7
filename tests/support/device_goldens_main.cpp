// gpu_goldens FILE: the goldens of this machine's GPU, to be kept as tests/goldens/NAME.json;
// emulated_goldens FILE: those of the emulation of an H200.
#include <cstdio>
#include <fstream>
#include "tests/support/device_goldens.h"
#include "tests/support/device_properties.h"

namespace {

using namespace kinema;

std::string properties() {
  try {
    if (test::gpu_properties) return test::gpu_properties();
  } catch (const kernels::Error& e) {
    std::fprintf(stderr, "goldens: without the GPU's properties: %s\n", e.what());
  }
  return "null";
}

int write(const char* path) {
  const test::DeviceRun& run = test::device_runs().back();
  test::GoldenFile file;
  file.goldens = test::goldens_of(run);
  {
    const std::shared_ptr<void> inside = run.enter();
    file.gpu = run.runtime->gpu().name;
    file.compute_capability = run.runtime->gpu().compute_capability;
  }
  file.properties = properties();
  std::ofstream out(path);
  out << test::text_of(file) << std::flush;
  kernels::check(out.good(), "goldens: cannot write ", path);
  std::printf("%zu goldens of %s in %s\n", file.goldens.size(), file.gpu.c_str(), path);
  return 0;
}

}  // namespace

int main(int count, char** words) {
  if (count != 2) {
    std::fprintf(stderr, "usage: %s FILE\n", words[0]);
    return 2;
  }
  try {
    return write(words[1]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
