#pragma once
#include "tests/support/device_check.h"

namespace kinema::test {

/// True on a GPU in a program that is linked with the backend cudnn.
template <class Op>
bool has_library(const Op* library) {
  return device_runs().front().backend == Backend::cuda && library;
}

/// Holds a pass of backend cudnn against the reference, as expect_op_matches does with our own
/// kernels; false where it is not linked, or has not this case.
template <class Op, class F>
bool expect_library_matches(const Op& reference, const Op* library,
                            const std::vector<Array>& arrays, const F& pass,
                            const std::vector<double>& bounds, const std::string& what) {
  if (!has_library(library)) return false;
  try {
    expect_matches(
        arrays, pass(reference), [&](const DeviceRun&) { return pass(*library); }, bounds,
        what + " by cudnn");
  } catch (const kernels::Unsupported&) {
    return false;
  }
  return true;
}

}  // namespace kinema::test
