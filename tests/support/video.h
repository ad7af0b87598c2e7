#pragma once
#include <filesystem>
#include <string>
#include <vector>
#include "engine/data/video.h"

namespace kinema::test {

/// A folder that goes with its test.
struct Folder {
  std::filesystem::path path;
  explicit Folder(const std::string& purpose = "video");
  ~Folder();
  std::string operator/(const std::string& name) const { return (path / name).string(); }
};

/// The content of a file; empty where there is none.
std::vector<uint8_t> bytes_of(const std::string& path);

/// 0, 1, ..., count - 1.
std::vector<int64_t> range(int64_t count);

/// True if the ffmpeg program is here and runs `arguments`.
bool ffmpeg_program(const std::string& arguments);

/// True if the ffmpeg program is here and has this encoder.
bool has_encoder(const std::string& name);

/// All frames of a file, raw RGB, as stored and scaled.
struct ProgramFrames {
  std::vector<uint8_t> native, scaled;
};

/// The frames of `path` as the ffmpeg program writes them: the oracle of VideoReader, whose header
/// states the command.
ProgramFrames frames_by_program(const std::string& path, engine::video::FrameSize scaled);

/// Every real clip, where they are present.
std::vector<std::string> real_clips();

}  // namespace kinema::test
