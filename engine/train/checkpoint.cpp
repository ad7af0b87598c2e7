#include "engine/train/checkpoint.h"
#include <fmt/format.h>
#include <algorithm>

namespace kinema::engine::train {

using Path = std::filesystem::path;
using nlohmann::json;

namespace {

/// The format that a file names; 0 where it names none of ours.
int64_t format_of(const io::TensorFile& file) {
  const auto found = file.metadata.find("format");
  for (int64_t format = 1; found != file.metadata.end() && format <= checkpoint_format; ++format)
    if (found->second == std::to_string(format)) return format;
  return 0;
}

/// Format 1 named the optimiser's tensors "optimiser.NAME" and had no other state.
void migrate_names(io::TensorFile& file) {
  for (io::NamedValue& t : file.tensors)
    if (t.name.starts_with("optimiser.")) t.name = state_prefix + t.name;
}

}  // namespace

void write_checkpoint(const Path& path, const std::vector<io::NamedValue>& tensors,
                      const json& run) {
  io::write_safetensors(path, tensors,
                        {{"format", std::to_string(checkpoint_format)}, {"run", run.dump()}});
}

Checkpoint read_checkpoint(const Path& path) {
  Checkpoint c{io::read_safetensors(path), {}};
  const auto format = c.tensors.metadata.find("format");
  const auto run = c.tensors.metadata.find("run");
  check(format != c.tensors.metadata.end() && run != c.tensors.metadata.end(), "checkpoint: ", path,
        " holds weights without the description of their network; give that network's run folder "
        "with --run");
  c.format = format_of(c.tensors);
  if (!c.format)
    throw OtherFormat(
        fmt::format("checkpoint: \"{}\" has format {}; this program reads formats 1 to {}",
                    path.string(), format->second, checkpoint_format));
  check(c.format < 2 || c.tensors.metadata.contains("crc32"), "checkpoint: ", path,
        " is damaged: it has lost its checksum");
  c.run = json::parse(run->second, nullptr, false);
  check(c.run.is_object(), "checkpoint: ", path, " has a damaged description");
  if (c.format == 1) migrate_names(c.tensors);
  return c;
}

io::TensorFile read_weights(const Path& path) {
  io::TensorFile file = io::read_safetensors(path);
  if (format_of(file) == 1) migrate_names(file);
  std::erase_if(file.tensors,
                [](const io::NamedValue& t) { return t.name.starts_with(state_prefix); });
  return file;
}

}  // namespace kinema::engine::train
