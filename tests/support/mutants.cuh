#pragma once
#include "kernels/base/error.h"
#include "kernels/device/launch.h"
#include "tests/mutation_device_test.h"

// Programs with planted faults lie in namespaces `mutants`: no kernels of the product, and counted
// by no check of those. nvcc compiles the right one of each alone, for a GPU must not run the rest.

namespace kinema::kernels::device::inline KERNELS_TWIN::mutants {

using test::Fault;

/// Calls f.operator()<K>() for the one of `Known` that is `fault`, or for none.
template <Fault... Known, class F>
void with_fault(Fault fault, F f) {
  bool found = false;
  const auto run_if = [&]<Fault K>() {
    if constexpr (K == Fault::none || !KERNELS_CUDA)
      if (fault == K) f.template operator()<K>(), found = true;
  };
  run_if.template operator()<Fault::none>();
  (run_if.template operator()<Known>(), ...);
  check(found, "mutants: this program has no fault number ", int(fault));
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::mutants
