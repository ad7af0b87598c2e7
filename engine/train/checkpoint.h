#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>
#include "engine/io/safetensors.h"

namespace kinema::engine::train {

/// The version of what checkpoints hold; an older one is migrated or refused by name.
inline constexpr int64_t checkpoint_format = 2;
/// Names of tensors in a checkpoint that do not belong to the network begin so.
inline constexpr const char* state_prefix = "state.";

/// A checkpoint is one .safetensors file, so that weights and description never disagree: weights
/// and buffers under their paths; what else a run needs to go on as state.PART.NAME
/// (state.optimiser.momentum.conv1.weight); as metadata "format" and "run": JSON with what
/// describes the run, and "progress", where it stands. Its checksum covers every byte.
struct Checkpoint {
  io::TensorFile tensors;
  nlohmann::json run;
  int64_t format = checkpoint_format;  ///< of the file, before it was migrated
};
void write_checkpoint(const std::filesystem::path& path, const std::vector<io::NamedValue>& tensors,
                      const nlohmann::json& run);

/// A checkpoint that is whole, but not for this program.
struct OtherFormat : Error {
  using Error::Error;
};

/// Format 1 is migrated: it holds no sums of an epoch that has begun, no digest of the data and no
/// checksum.
/// Errors: no such file; one that is truncated or damaged; weights without a description.
/// OtherFormat where it is none of ours.
Checkpoint read_checkpoint(const std::filesystem::path& path);

/// The network's own tensors of any .safetensors file, be it a checkpoint or not.
io::TensorFile read_weights(const std::filesystem::path& path);

}  // namespace kinema::engine::train
