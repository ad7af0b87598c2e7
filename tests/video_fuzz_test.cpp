#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>
#include "engine/data/loader.h"
#include "tests/support/check.h"
#include "tests/support/video.h"

// Small videos of every kind, broken in 2,000 ways by fixed seeds: each is read within 5 s, or
// refused with one Error that names it. KINEMA_FUZZ=COUNT,FIRST runs others.

namespace kinema::test {
namespace {

using namespace kinema::engine::video;
using Bytes = std::vector<uint8_t>;

constexpr double seconds_allowed = 5;

/// Two allocations of the largest size that the reader lets FFmpeg make (512 MB); healthy files of
/// this size take 50 MB, under AddressSanitizer 256 MB more, which it keeps back from reuse.
constexpr int64_t memory_allowed_kb = 1 << 20;

struct Original {
  std::string name;  // of a broken copy
  Bytes bytes;
};

std::vector<Original> originals(const Folder& folder) {
  const std::pair<const char*, const char*> kinds[] = {
      {"h264.mp4", "libx264 -g 4 -bf 2"},
      {"h264.ts", "libx264 -g 4 -bf 2"},
      {"h264.flv", "libx264 -g 4"},
      {"pieces.mp4", "libx264 -g 4 -movflags frag_keyframe+empty_moov"},
      {"raw.h264", "libx264 -g 4 -bf 2"},
      {"hevc.mkv", "libx265 -preset ultrafast -x265-params log-level=0:keyint=4"},
      {"av1.mp4", "libaom-av1 -cpu-used 8 -g 4"},
      {"vp9.webm", "libvpx-vp9 -deadline realtime -cpu-used 8 -g 4"},
      {"vp8.webm", "libvpx -deadline realtime -g 4"},
      {"mpeg4.avi", "mpeg4 -bf 2 -g 4"},
      {"mpeg2.mpg", "mpeg2video -bf 2 -g 4"},
      {"mjpeg.mov", "mjpeg"},
      {"ffv1.mkv", "ffv1"},
      {"wmv2.wmv", "wmv2 -g 4"},
      {"theora.ogv", "libtheora -g 4"},
      {"a.gif", "gif"}};
  std::vector<Original> list;
  for (const auto& [name, codec] : kinds)
    if (ffmpeg_program("-f lavfi -i testsrc2=s=32x32:r=25 -frames:v 8 -c:v " + std::string(codec) +
                       " '" + (folder / name) + "'"))
      list.push_back({name, bytes_of(folder / name)});
    else
      std::printf("left out: %s, this FFmpeg cannot make it\n", name);
  return list;
}

/// One fault: bits flipped, bytes drawn anew, a run of zeros, the end cut off, two chunks swapped,
/// one repeated, or a field of the header made extreme.
void break_once(Bytes& b, Draws& draws) {
  const auto at = [&](int64_t end) { return size_t(draws.below(std::max<int64_t>(end, 1))); };
  const auto size = int64_t(b.size());
  const size_t place = at(size);
  const size_t length = std::min(b.size() - place, 1 + at(64));
  const auto begin = b.begin() + long(place);
  switch (draws.below(7)) {
    case 0:
      for (int i = 0; i < 8; ++i) b[at(size)] ^= uint8_t(1 << draws.below(8));
      break;
    case 1:
      for (size_t i = 0; i < length; ++i) begin[long(i)] = uint8_t(draws.below(256));
      break;
    case 2:
      std::fill_n(begin, length, uint8_t(0));
      break;
    case 3:
      b.resize(std::max<size_t>(place, 1));
      break;
    case 4: {
      const size_t other = at(size - int64_t(length));
      for (size_t i = 0; i < length; ++i) std::swap(b[place + i], b[other + i]);
      break;
    }
    case 5: {
      const Bytes chunk(begin, begin + long(length));
      b.insert(b.begin() + long(at(size)), chunk.begin(), chunk.end());
      break;
    }
    default: {
      const uint8_t extremes[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
      const size_t field = at(std::min<int64_t>(size, 1024)), bytes = 1 + at(4);
      for (size_t i = field; i < std::min(field + bytes, b.size()); ++i) b[i] = extremes[at(5)];
    }
  }
}

Bytes broken(const Original& original, int64_t number) {
  Bytes bytes = original.bytes;
  Draws draws({0xF022, uint64_t(number)});
  for (int64_t faults = 1 + draws.below(4); faults > 0; --faults) break_once(bytes, draws);
  return bytes;
}

/// Reads a file in each way that there is; the Error must name it.
void exercise(const std::string& path, int64_t number) {
  const std::string said = refusal([&] {
    VideoReader reader(path, {.patience_seconds = seconds_allowed - 1});
    const int64_t n = std::min<int64_t>(reader.frames(), 12);
    Draws draws({0xF023, uint64_t(number)});
    std::vector<int64_t> list;
    for (int64_t i = 0; i < n; ++i) list.push_back(draws.below(n));
    if (n > 0) reader.read(list, {24, 20});
    if (number % 2) load_views(path, {.frames = 4, .height = 16, .width = 16, .clips = 2});
  });
  if (said.empty() || (said.starts_with("video: ") && said.find(path) != std::string::npos)) return;
  std::printf("broken video %lld: an Error that does not name the file: %s\n", (long long)number,
              said.c_str());
  std::fflush(stdout);
  std::abort();
}

/// What the reading process tells the watching one.
struct Progress {
  std::atomic<int64_t> number;   // of the file being read
  std::atomic<int64_t> peak_kb;  // most memory so far
};

/// Reads files [first, last) in a process of its own, so that a crash or a hang inside of FFmpeg is
/// seen and named. Returns the file at which it ended badly, `last` if it ended well.
int64_t watch(const Folder& folder, const std::vector<Original>& files, int64_t first, int64_t last,
              Progress* progress, std::string& fate) {
  progress->number = first;
  const pid_t child = ::fork();
  if (child == 0) {
    for (int64_t i = first; i < last; ++i) {
      progress->number = i;
      const Original& original = files[size_t(i) % files.size()];
      const std::string path = folder / ("broken_" + original.name);
      const Bytes bytes = broken(original, i);
      std::ofstream(path, std::ios::binary)
          .write(reinterpret_cast<const char*>(bytes.data()), long(bytes.size()));
      exercise(path, i);
      rusage used{};
      ::getrusage(RUSAGE_SELF, &used);
      progress->peak_kb = std::max<int64_t>(progress->peak_kb.load(), used.ru_maxrss);
    }
    progress->number = last;
    ::_exit(0);
  }
  using Clock = std::chrono::steady_clock;
  auto since = Clock::now();
  int64_t seen = first;
  for (int status = 0;;) {
    if (::waitpid(child, &status, WNOHANG) == child) {
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return last;
      fate = WIFSIGNALED(status) ? "ended by signal " + std::to_string(WTERMSIG(status))
                                 : "ended with " + std::to_string(WEXITSTATUS(status));
      return progress->number;
    }
    if (progress->number != seen) seen = progress->number, since = Clock::now();
    if (std::chrono::duration<double>(Clock::now() - since).count() > seconds_allowed) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      fate = "took more than 5 s";
      return seen;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

TEST(VideoFuzz, BrokenVideosAreReadOrRefused) {
  const Folder folder;
  const std::vector<Original> files = originals(folder);
  if (files.empty()) GTEST_SKIP() << "no ffmpeg program";
  long long count = 2000, first = 0;
  if (const char* set = std::getenv("KINEMA_FUZZ")) std::sscanf(set, "%lld,%lld", &count, &first);
  auto* progress = static_cast<Progress*>(
      ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(progress, MAP_FAILED);
  int bad = 0;
  for (int64_t i = first; i < first + count && bad < 20;) {
    std::string fate;
    // A new process now and then, so that the peak says what few files take.
    const int64_t last = std::min<int64_t>(i + 100, first + count);
    const int64_t ended = watch(folder, files, i, last, progress, fate);
    if (ended < last) {
      ++bad;
      ADD_FAILURE() << "broken video " << ended << " (of "
                    << files[size_t(ended) % files.size()].name << "): " << fate
                    << "; KINEMA_FUZZ=1," << ended;
    }
    i = ended < last ? ended + 1 : last;
  }
  std::printf("%lld broken videos, peak of memory %.0f MB\n", count,
              double(progress->peak_kb.load()) / 1024);
  EXPECT_LT(progress->peak_kb.load(), memory_allowed_kb);
  ::munmap(progress, sizeof(Progress));
}

/// What can be read of a broken video is what the program reads.
TEST(VideoFuzz, BrokenVideosGiveTheProgramsFrames) {
  const Folder folder;
  const std::vector<Original> files = originals(folder);
  if (files.empty()) GTEST_SKIP() << "no ffmpeg program";
  const FrameSize size{24, 20};
  int read = 0;
  for (int64_t i = 0; i < 64; ++i) {
    const Original& original = files[size_t(i) % files.size()];
    const std::string path = folder / ("broken_" + original.name);
    const Bytes bytes = broken(original, i);
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), long(bytes.size()));
    Bytes got;
    const std::string said = refusal([&] {
      VideoReader reader(path);
      got = to_vector<uint8_t>(reader.read(range(reader.frames()), size));
      // Damage that showed only now changes the count.
      if (int64_t(got.size()) != reader.frames() * 3 * 24 * 20)
        got = to_vector<uint8_t>(reader.read(range(reader.frames()), size));
    });
    if (!said.empty()) continue;
    ++read;
    EXPECT_EQ(got, frames_by_program(path, size).scaled) << i << " of " << original.name;
  }
  EXPECT_GT(read, 16);
}

}  // namespace
}  // namespace kinema::test
