#pragma once
#include <nlohmann/json.hpp>

namespace kinema::tools {

/// Versions of this program and of the libraries that it runs with, by name.
nlohmann::json library_versions();

}  // namespace kinema::tools
