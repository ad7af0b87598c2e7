#include "tests/support/video.h"
#include <gtest/gtest.h>
#include <unistd.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <sstream>

namespace kinema::test {

namespace fs = std::filesystem;

namespace {

std::string output_of(const std::string& command) {
  std::string text, block(1 << 16, 0);
  FILE* pipe = ::popen(command.c_str(), "r");
  for (size_t got; pipe && (got = std::fread(block.data(), 1, block.size(), pipe)) > 0;)
    text.append(block, 0, got);
  if (pipe) ::pclose(pipe);
  return text;
}

}  // namespace

Folder::Folder(const std::string& purpose)
    : path(fs::temp_directory_path() /
           ("kinema_" + purpose + "_" + std::to_string(::getpid()) + "_" +
            ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
  fs::create_directories(path);
}
Folder::~Folder() { fs::remove_all(path); }

std::vector<uint8_t> bytes_of(const std::string& path) {
  std::vector<uint8_t> bytes;
  std::error_code missing;
  const auto size = fs::file_size(path, missing);
  if (missing) return bytes;
  bytes.resize(size);
  std::ifstream(path, std::ios::binary).read(reinterpret_cast<char*>(bytes.data()), long(size));
  return bytes;
}

std::vector<int64_t> range(int64_t count) {
  std::vector<int64_t> list(static_cast<size_t>(count));
  std::iota(list.begin(), list.end(), int64_t(0));
  return list;
}

bool ffmpeg_program(const std::string& arguments) {
  return std::system(("ffmpeg -v error -nostdin -y " + arguments + " 2>/dev/null").c_str()) == 0;
}

bool has_encoder(const std::string& name) {
  static const std::string list = output_of("ffmpeg -v error -encoders 2>/dev/null");
  return list.find(" " + name + " ") != std::string::npos;
}

ProgramFrames frames_by_program(const std::string& path, engine::video::FrameSize scaled) {
  const Folder folder("program");
  const std::string how =
      " -fps_mode passthrough -sws_flags bilinear+accurate_rnd+full_chroma_int"
      " -f rawvideo -pix_fmt rgb24 ";
  std::ostringstream arguments;
  // One thread: where a file is broken, what frame threads give depends on their number.
  arguments << "-threads 1 -i '" << path << "'" << how << "'" << folder / "native"
            << "'" << how << "-autoscale 0 -vf scale=" << scaled.width << ':' << scaled.height
            << " '" << folder / "scaled"
            << "'";
  // It fails on what is broken, after the frames that it could decode.
  (void)ffmpeg_program(arguments.str());
  return {bytes_of(folder / "native"), bytes_of(folder / "scaled")};
}

std::vector<std::string> real_clips() {
  const char* set = std::getenv("KINEMA_CLIPS");
  const fs::path root = set ? set : "../shared/clips";
  std::vector<std::string> files;
  if (fs::is_directory(root))
    for (const auto& entry : fs::recursive_directory_iterator(root))
      if (entry.is_regular_file() && entry.path().extension() != ".md")
        files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace kinema::test
