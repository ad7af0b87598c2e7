#pragma once
#include <nlohmann/json.hpp>
#include <string>

namespace kinema::tools {

/// Versions of this program and of the libraries that it runs with, by name.
nlohmann::json library_versions();

/// The widest vector instructions that this program was compiled for, and those that oneDNN uses on
/// this machine.
const char* built_for();
std::string dnnl_instructions();

}  // namespace kinema::tools
