#pragma once
#include <cstdint>
#include <string>
#include <vector>
#include "kernels/base/gpu.h"
#include "kernels/device/emulation/calls.h"

namespace kinema::kernels::device::emulation {

/// Which of the threads that could go on does. `warp`: one warp as far as it can go, then the next,
/// from the first; `backward`: likewise from the last; `prio`: warps by random priorities that
/// change now and then, lanes from a random one on.
enum class Schedule : uint8_t { warp, backward, prio };

/// How kernels run from here on, in the whole process.
struct Settings {
  Schedule schedule = Schedule::warp;
  uint64_t seed = 1;  ///< of `prio`: equal seeds, equal schedules
  int threads = 0;    ///< of the host, each a block at a time; 0: as many as OpenMP has
  Gpu gpu = four_multiprocessors;
  int64_t memory_bytes = int64_t(16) << 30;  ///< of the GPU
};
/// To read and to set.
Settings& settings();

/// Sets the settings until the end of a scope.
class Scope {
 public:
  explicit Scope(const Settings& s) : before_(settings()) { settings() = s; }
  ~Scope() { settings() = before_; }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  Settings before_;
};

/// What the launches of one kernel name have done since the start, or since forget_launches().
struct Launches {
  std::string name;
  int64_t count = 0;
  int64_t bank_conflicts = 0;  ///< rows of ldmatrix that met in a bank
  /// Bytes of global memory, each access counted; where the race detector watches, else 0.
  int64_t bytes_read = 0, bytes_written = 0;
};
std::vector<Launches> launches();
void forget_launches();

/// True in a program that the race detector watches.
bool watches_races();

/// Device memory: exactly so many bytes, NaN where they are read as floats.
void* allocate(int64_t bytes);
void release(void* memory);

/// One launch: run(context) is what each thread does.
struct Launch {
  const char* name;
  const void* kernel;
  dim3 grid, block, cluster;
  int64_t shared_bytes;
  bool cooperative;
  void (*run)(const void*);
  const void* context;
};
/// Throws Error where the GPU of the settings refuses the geometry.
void check_geometry(const Launch&);
/// Returns when every block is done. Errors, as Error with the launch's name: a geometry that the
/// GPU of the settings refuses; and a fault of the kernel, with block, thread and source line.
void run(const Launch&);

}  // namespace kinema::kernels::device::emulation
