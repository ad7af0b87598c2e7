#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>
#include "engine/nn/module.h"
#include "engine/tensor.h"

namespace kinema::engine::io {

using Metadata = std::map<std::string, std::string>;

struct NamedValue {
  std::string name;
  Tensor value;
};

/// What a .safetensors file holds, in the order of its data.
struct TensorFile {
  std::vector<NamedValue> tensors;
  Metadata metadata;
  /// The tensor of this name; not given where there is none.
  Tensor find(const std::string& name) const;
};

/// Reads a .safetensors file: 8 bytes little-endian header length, that many bytes of JSON
/// {name: {dtype, shape, data_offsets}, "__metadata__": {string: string}}, then the data, each
/// tensor dense and row-major in our axis order (channels last).
/// F32, F64, F16, BF16, U8, I32 and I64 become what they are. A tensor of rank 0 comes as [1].
/// Source: github.com/huggingface/safetensors, README "Format".
/// Where the metadata has "crc32", the file's checksum must be this.
/// Errors: no such file; truncated; another checksum; a header that is too long, is no JSON of this
/// form, or whose sizes, offsets or types do not fit the data (overlaps and gaps too).
TensorFile read_safetensors(const std::filesystem::path& path);

/// Writes the same, as by write_whole(); "crc32" of the metadata is the CRC-32 of the whole file
/// with zeros for its own 8 hexadecimal digits. Errors: a name twice; a failing disk.
void write_safetensors(const std::filesystem::path& path, const std::vector<NamedValue>& tensors,
                       const Metadata& metadata = {});

/// Parameters, then buffers of `module` under their paths.
std::vector<NamedValue> state_of(const nn::Module& module);

/// Copies `from` over the parameters and buffers of `module` of the same names; F16 and BF16 become
/// f32. Other names in
/// `from` that begin with `ignored` are no mistake (momentum beside the weights, say).
/// Errors: one that lists every tensor that is missing, extra or of another shape or type (at most
/// 8 of each); `module` is unchanged then. `source` is what the text calls `from`.
void load_state(const nn::Module& module, const TensorFile& from, const std::string& source,
                const std::string& ignored = "");

/// load_state() from a file, and its counterpart.
void load_weights(const nn::Module& module, const std::filesystem::path& path);
void save_weights(const nn::Module& module, const std::filesystem::path& path,
                  const Metadata& metadata = {});

}  // namespace kinema::engine::io
