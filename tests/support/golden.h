#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

// Goldens: what micro kernels made of fixed inputs on a GPU, kept in files under tests/goldens/,
// one a GPU, so that the emulation is held against the hardware where there is none. gpu_goldens
// FILE writes one.

namespace kinema::test {

/// What one micro kernel gave.
struct Golden {
  std::string name;
  std::vector<int64_t> values;
  /// 0: must be the same. Otherwise values are the bits of f32 and may differ by so much of the
  /// largest.
  double near = 0;
};

struct GoldenFile {
  std::string gpu;
  int compute_capability = 0;
  std::string properties = "null";  ///< of the GPU, as cuDNN describes one to itself; JSON
  std::vector<Golden> goldens = {};
};

/// Values as runs: "7" one, "7*3" three times, "7+2*4" 7 9 11 13, "7-2*4" 7 5 3 1.
std::string runs_of(const std::vector<int64_t>&);
/// The reverse. Errors: what is no such text.
std::vector<int64_t> values_of(const std::string& runs);

/// JSON, a golden a line.
std::string text_of(const GoldenFile&);
/// Errors: a file that is none; one of another format.
GoldenFile read_goldens(const std::filesystem::path&);

/// What differs between goldens of a file and ours, a sentence each: the name and the first place.
std::vector<std::string> differences(const std::vector<Golden>& ours,
                                     const std::vector<Golden>& file);

}  // namespace kinema::test
