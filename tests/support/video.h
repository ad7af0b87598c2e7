#pragma once
#include <filesystem>
#include <string>
#include <vector>
#include "engine/data/video.h"

namespace kinema::test {

/// A folder that goes with its test.
struct Folder {
  std::filesystem::path path;
  Folder();
  ~Folder();
  std::string operator/(const std::string& name) const { return (path / name).string(); }
};

/// 0, 1, ..., count - 1.
std::vector<int64_t> range(int64_t count);

/// True if the ffmpeg program is here and runs `arguments`.
bool ffmpeg_program(const std::string& arguments);

/// True if the ffmpeg program is here and has this encoder.
bool has_encoder(const std::string& name);

/// All frames of `path` as the ffmpeg program writes them, raw RGB: the oracle of VideoReader,
/// whose header states the command. A size other than 0 x 0 is scaled to.
std::vector<uint8_t> frames_by_program(const std::string& path, engine::video::FrameSize size = {});

/// Every real clip, where they are present.
std::vector<std::string> real_clips();

}  // namespace kinema::test
