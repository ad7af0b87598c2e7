#pragma once
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <ostream>

namespace kinema::engine::io {

/// Replaces the file at `path` as a whole: `write` fills a temporary file in the same folder, which
/// is flushed to disk and then renamed. Whatever fails, `path` keeps what it held.
/// Errors: the folder cannot be written to; the disk is full.
void write_whole(const std::filesystem::path& path,
                 const std::function<void(std::ostream&)>& write);

/// The JSON text in `path`. Errors: no such file; no JSON.
nlohmann::json read_json(const std::filesystem::path& path);
/// Writes `value` with an indent of 2, as by write_whole().
void write_json(const std::filesystem::path& path, const nlohmann::json& value);

}  // namespace kinema::engine::io
