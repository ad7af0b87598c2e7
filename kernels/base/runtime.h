#pragma once
#include <string>
#include "kernels/base/backend.h"
#include "kernels/base/error.h"
#include "kernels/base/gpu.h"

namespace kinema::kernels {

/// The device has failed for good, as by a bad address in a kernel: every later call throws this
/// with the text of the first, until the process ends. What lies on the device is lost.
struct DeviceLost : Error {
  using Error::Error;
};

/// A place in a stream: where it was recorded last.
struct Event {
  void* handle = nullptr;
};

/// What a stream was given between begin_capture and end_capture, to be run again and again.
struct Graph {
  void* handle = nullptr;
};

/// Bytes: handed out by the pool, held by the pool (at least those), free and in all on the device.
struct DeviceMemory {
  int64_t used = 0, held = 0, free = 0, total = 0;
};

/// Where a thread's workspaces come from, in place of the pool: an arena, say. Like the pool's,
/// `take` throws where memory runs out and `give` throws nothing.
struct MemorySource {
  void* (*take)(void* context, Stream, int64_t bytes);
  void (*give)(void* context, Stream, void* memory, int64_t bytes);
  void* context = nullptr;
};

/// The host's side of a device: memory, streams, events, graphs. What is put in a stream runs in
/// its order; between streams, and between a stream and the host, only events and waiting order
/// anything. The null stream is a stream that waits for no other and that cannot be captured.
///
/// While a thread captures, the stream records what it is given and runs nothing. The thread may
/// then neither wait (synchronize, wait_for, passed, upload, download, seconds) nor take or
/// allocate memory nor replay; a capture is of one stream, so events are recorded and waited for
/// on either side of its edge alone. What is given back to the pool meanwhile is given when the
/// capture ends. An illegal call breaks the capture: end_capture then throws too.
///
/// Errors, as Error: no device; memory that runs out, with what was asked, used, held and free and
/// what to lower; a refused call. DeviceLost: what went wrong on the device since. release, give,
/// give_workspace, drop_* and end_range throw nothing.
struct Runtime {
  int (*devices)();            ///< 0: nothing here runs
  std::string (*missing)();    ///< why devices() is 0, as "no NVIDIA driver is installed ..."
  void (*choose)(int device);  ///< for this thread, from here on; a new thread has device 0
  const Gpu& (*gpu)();         ///< the thread's

  void* (*allocate)(int64_t bytes);  ///< 256-byte aligned, as all device memory; waits
  void (*release)(void*);            ///< waits
  /// From the device's pool, in the order of the stream, as `give` is: a stream that gives back
  /// what another uses waits for that one first.
  void* (*take)(Stream, int64_t bytes);
  void (*give)(Stream, void*, int64_t bytes);
  DeviceMemory (*memory)();
  /// From this thread's source, where it has one, else from the pool.
  void* (*take_workspace)(Stream, int64_t bytes);
  void (*give_workspace)(Stream, void*, int64_t bytes);
  void (*workspace_from)(const MemorySource*);  ///< of this thread; null: the pool
  /// Memory of the host that a device copies from and to by itself.
  void* (*allocate_pinned)(int64_t bytes);
  void (*release_pinned)(void*);

  void (*upload)(Stream, const void* host, void* device, int64_t bytes);    ///< returns when done
  void (*download)(Stream, const void* device, void* host, int64_t bytes);  ///< returns when done
  /// In the order of the stream: the host's bytes are read, or written, when it comes to that.
  /// Errors: host memory that is not pinned.
  void (*upload_later)(Stream, const void* pinned, void* device, int64_t bytes);
  void (*download_later)(Stream, const void* device, void* pinned, int64_t bytes);
  void (*copy)(Stream, const void* from, void* to, int64_t bytes);  ///< within the device
  void (*clear)(Stream, void*, int64_t bytes);                      ///< sets bytes to 0

  Stream (*make_stream)();
  void (*drop_stream)(Stream);  ///< what is in it still runs
  void (*synchronize)(Stream);  ///< the host waits
  Event (*make_event)();
  void (*drop_event)(Event);
  void (*record)(Event, Stream);  ///< moves the event to behind all that the stream holds
  /// What the stream is given from here on waits for the place where the event is now. An event
  /// that was never recorded is not waited for.
  void (*wait)(Stream, Event);
  void (*wait_for)(Event);  ///< the host waits
  bool (*passed)(Event);    ///< true if the host would not have to wait

  /// Between the two, a thread's stream records. Kernels keep the arguments of the capture, copies
  /// their addresses: what changes between replays lies in memory.
  void (*begin_capture)(Stream);
  Graph (*end_capture)(Stream);
  void (*replay)(Graph, Stream);
  void (*drop_graph)(Graph);

  /// Seconds on the device between the start and the end of what work(context) puts in the stream.
  double (*seconds)(Stream, void (*work)(void*), void* context);
  /// A range of this thread's time, by name, for profilers (NVTX).
  void (*begin_range)(const char* name);
  void (*end_range)();
};
KERNELS_OPTIONAL extern const Runtime runtime_cuda, runtime_emulated;

}  // namespace kinema::kernels
