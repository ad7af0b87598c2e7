#include "tests/support/video.h"
#include <gtest/gtest.h>
#include <unistd.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>

namespace kinema::test {

namespace fs = std::filesystem;

Folder::Folder()
    : path(fs::temp_directory_path() /
           ("kinema_video_" + std::to_string(::getpid()) + "_" +
            ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
  fs::create_directories(path);
}
Folder::~Folder() { fs::remove_all(path); }

std::vector<int64_t> range(int64_t count) {
  std::vector<int64_t> list(static_cast<size_t>(count));
  std::iota(list.begin(), list.end(), int64_t(0));
  return list;
}

bool ffmpeg_program(const std::string& arguments) {
  return std::system(("ffmpeg -v error -nostdin -y " + arguments + " 2>/dev/null").c_str()) == 0;
}

bool has_encoder(const std::string& name) {
  return std::system(("ffmpeg -v error -h encoder=" + name + " | grep -q ^Encoder").c_str()) == 0;
}

std::vector<uint8_t> frames_by_program(const std::string& path, engine::video::FrameSize size) {
  // One thread: where a file is broken, what frame threads give depends on their number.
  std::string command = "ffmpeg -v error -nostdin -threads 1 -i '" + path +
                        "' -fps_mode passthrough"
                        " -sws_flags bilinear+accurate_rnd+full_chroma_int";
  if (size.height > 0)
    command += " -vf scale=" + std::to_string(size.width) + ":" + std::to_string(size.height);
  command += " -f rawvideo -pix_fmt rgb24 - 2>/dev/null";
  std::vector<uint8_t> bytes, block(1 << 20);
  FILE* pipe = ::popen(command.c_str(), "r");
  for (size_t got; pipe && (got = std::fread(block.data(), 1, block.size(), pipe)) > 0;)
    bytes.insert(bytes.end(), block.begin(), block.begin() + long(got));
  if (pipe) ::pclose(pipe);
  return bytes;
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
