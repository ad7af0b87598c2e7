#include <algorithm>
#include <map>
#include "engine/io/safetensors.h"
#include "engine/ops/copy.h"

namespace kinema::engine::io {

namespace {

constexpr size_t most_listed = 8;

/// "2 missing (a, b)", at most `most_listed` of them by name.
std::string listed(const std::vector<std::string>& names, const char* what) {
  if (names.empty()) return "";
  std::string text = std::to_string(names.size()) + " " + what + " (";
  for (size_t i = 0; i < std::min(names.size(), most_listed); ++i)
    text += (i ? ", " : "") + names[i];
  return text + (names.size() > most_listed ? ", ...)" : ")");
}

std::string described(const Tensor& t) {
  std::ostringstream text;
  text << t.shape();
  // Narrow values become f32 without loss.
  if (t.dtype() != Dtype::f32 && !kernels::is_narrow(t.dtype())) text << " " << t.dtype();
  return text.str();
}

std::vector<nn::NamedTensor> members(const nn::Module& module) {
  std::vector<nn::NamedTensor> all = module.parameters();
  const std::vector<nn::NamedTensor> buffers = module.buffers();
  all.insert(all.end(), buffers.begin(), buffers.end());
  return all;
}

}  // namespace

std::vector<NamedValue> state_of(const nn::Module& module) {
  std::vector<NamedValue> all;
  for (const nn::NamedTensor& m : members(module)) all.push_back({m.name, m.tensor->detach()});
  return all;
}

void load_state(const nn::Module& module, const TensorFile& from, const std::string& source,
                const std::string& ignored) {
  std::map<std::string, Tensor> found;
  for (const NamedValue& t : from.tensors)
    if (ignored.empty() || !t.name.starts_with(ignored)) found[t.name] = t.value;
  std::vector<std::string> missing, extra, misshaped;
  const std::vector<nn::NamedTensor> wanted = members(module);
  for (const auto& [name, tensor, working] : wanted) {
    const auto it = found.find(name);
    if (it == found.end()) {
      missing.push_back(name);
    } else if (described(it->second) != described(*tensor)) {
      misshaped.push_back(name + ": expected " + described(*tensor) + ", got " +
                          described(it->second));
    }
  }
  for (const auto& [name, tensor] : found)
    if (std::none_of(wanted.begin(), wanted.end(), [&](const auto& w) { return w.name == name; }))
      extra.push_back(name);
  std::string problems;
  for (const std::string& part :
       {listed(missing, "missing"), listed(extra, "extra"), listed(misshaped, "of another shape")})
    if (!part.empty()) problems += (problems.empty() ? "" : ", ") + part;
  check(problems.empty(), "weights: ", source, " does not fit this network: ", problems);
  for (const nn::NamedTensor& w : wanted) copy(found[w.name], w.tensor->detach());
}

void load_weights(const nn::Module& module, const std::filesystem::path& path) {
  load_state(module, read_safetensors(path), "\"" + path.string() + "\"");
}

void save_weights(const nn::Module& module, const std::filesystem::path& path,
                  const Metadata& metadata) {
  write_safetensors(path, state_of(module), metadata);
}

}  // namespace kinema::engine::io
