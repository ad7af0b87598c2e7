#pragma once
#include "kernels/device/launch.h"
#include "tests/support/probe.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::probes {

template <class In, class Out>
void start_probe(void (*kernel)(const In*, Out*), const Geometry& geometry, Stream stream,
                 const void* in, void* out) {
  launch("conformance", kernel, geometry, stream, static_cast<const In*>(in),
         static_cast<Out*>(out));
}

/// The probe that runs `kernel` by `blocks` of `threads`.
template <auto kernel, unsigned threads, unsigned blocks = 1, int64_t shared_bytes = 0>
void probe(Stream stream, const void* in, void* out) {
  start_probe(kernel, {.grid = blocks, .block = threads, .shared_bytes = shared_bytes}, stream, in,
              out);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::probes
