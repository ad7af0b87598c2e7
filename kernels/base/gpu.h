#pragma once
#include <cstdint>

namespace kinema::kernels {

/// What a plan may know of a GPU. Plans and launch shapes are functions of it and of the problem
/// alone, so a made-up one serves tests.
struct Gpu {
  const char* name = "";
  int multiprocessors = 0;
  int threads_per_multiprocessor = 0;
  int64_t registers_per_multiprocessor = 65536;
  int64_t shared_per_block = 0;           ///< bytes that one block may ask for
  int64_t shared_per_multiprocessor = 0;  ///< bytes that all blocks of one share
  int64_t l2_bytes = 0;
  int compute_capability = 0;  ///< major * 10 + minor
};

/// Source: CUDA C++ Programming Guide 13, table of technical specifications per compute capability;
/// the H200's data sheet.
inline constexpr Gpu h200 = {.name = "H200",
                             .multiprocessors = 132,
                             .threads_per_multiprocessor = 2048,
                             .shared_per_block = 227 << 10,
                             .shared_per_multiprocessor = 228 << 10,
                             .l2_bytes = 50 << 20,
                             .compute_capability = 90};
/// Fits many tests: whatever fills it has several blocks a multiprocessor and several rounds.
inline constexpr Gpu four_multiprocessors = {.name = "4 multiprocessors",
                                             .multiprocessors = 4,
                                             .threads_per_multiprocessor = 2048,
                                             .shared_per_block = 227 << 10,
                                             .shared_per_multiprocessor = 228 << 10,
                                             .l2_bytes = 4 << 20,
                                             .compute_capability = 90};
/// The least shared memory of the supported kinds: that of compute capability 8.6 and 8.9.
inline constexpr Gpu small_shared_memory = {.name = "99 KB of shared memory",
                                            .multiprocessors = 16,
                                            .threads_per_multiprocessor = 1536,
                                            .shared_per_block = 99 << 10,
                                            .shared_per_multiprocessor = 100 << 10,
                                            .l2_bytes = 6 << 20,
                                            .compute_capability = 86};

}  // namespace kinema::kernels
