#pragma once
#include <nlohmann/json.hpp>

namespace kinema::tools {

/// What works here of the backends, by name: "works", or why not, by a small convolution that is
/// held against the reference.
nlohmann::json probe_backends();

/// The GPU: name, compute capability, memory, driver; a string that says why there is none.
nlohmann::json examine_gpu();

/// NVIDIA's libraries, by name: version and file, or what is missing; and what is known to go wrong
/// in this version.
nlohmann::json examine_libraries();

}  // namespace kinema::tools
