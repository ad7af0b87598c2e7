#include "engine/data/frame_folder.h"
#include <algorithm>
#include <filesystem>
#include <fstream>
#include "engine/data/frame_converter.h"

namespace kinema::engine::video {

using ffmpeg::Owned, ffmpeg::reason;
namespace fs = std::filesystem;

namespace {

/// The largest picture file that is read: more is no frame of a video.
constexpr uintmax_t largest_picture = uintmax_t(1) << 28;

/// Which decoder a file name asks for; AV_CODEC_ID_NONE: no picture.
AVCodecID codec_of(const fs::path& path) {
  if (path.filename().string().starts_with(".")) return AV_CODEC_ID_NONE;
  std::string ending = path.extension().string();
  for (char& c : ending) c = char(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  if (ending == ".jpg" || ending == ".jpeg") return AV_CODEC_ID_MJPEG;
  return ending == ".png" ? AV_CODEC_ID_PNG : AV_CODEC_ID_NONE;
}

bool digit(char c) { return c >= '0' && c <= '9'; }

/// The digits of `s` from `at` on without leading zeros; moves `at` behind them.
std::string number_at(const std::string& s, size_t& at) {
  const size_t begin = std::min(s.find_first_not_of('0', at), s.size());
  for (; at < s.size() && digit(s[at]);) ++at;
  return begin < at ? s.substr(begin, at - begin) : "";
}

/// The file's bytes as one packet.
Owned<AVPacket> packet_of(const fs::path& path) {
  std::error_code failed;
  const uintmax_t bytes = fs::file_size(path, failed);
  check(!failed, "video: cannot read ", path.string(), " (", failed.message(), ")");
  check(bytes > 0 && bytes <= largest_picture, "video: ", path.string(), " has ", bytes,
        " bytes; that is no picture");
  Owned<AVPacket> packet(av_packet_alloc());
  check(packet && av_new_packet(packet.get(), int(bytes)) >= 0, "video: no memory for ", bytes,
        " bytes of ", path.string());
  std::ifstream in(path, std::ios::binary);
  in.read(reinterpret_cast<char*>(packet->data), std::streamsize(bytes));
  check(bool(in), "video: cannot read ", path.string());
  packet->flags |= AV_PKT_FLAG_KEY;
  return packet;
}

}  // namespace

bool natural_less(const std::string& a, const std::string& b) {
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      const std::string x = number_at(a, i), y = number_at(b, j);
      if (x.size() != y.size()) return x.size() < y.size();
      if (x != y) return x < y;
      continue;
    }
    if (a[i] != b[j]) return a[i] < b[j];
    ++i, ++j;
  }
  if (i < a.size() || j < b.size()) return j < b.size();
  return a < b;  // they differ in leading zeros alone
}

bool is_frame_folder(const std::string& path) {
  std::error_code failed;
  for (fs::directory_iterator it(path, failed), end; !failed && it != end; it.increment(failed))
    if (codec_of(it->path()) != AV_CODEC_ID_NONE) return true;
  return false;
}

struct FrameFolder::State {
  std::string path;
  std::vector<std::string> names;
  VideoInfo info;
  AVCodecID codec_id = AV_CODEC_ID_NONE;
  Owned<AVCodecContext> codec;
  Owned<AVFrame> frame{av_frame_alloc()};
  FrameConverter converter;

  const AVFrame* decode(const std::string& name);
};

const AVFrame* FrameFolder::State::decode(const std::string& name) {
  const fs::path file = fs::path(path) / name;
  if (codec_of(file) != codec_id) {
    codec_id = codec_of(file);
    const AVCodec* decoder = avcodec_find_decoder(codec_id);
    check(decoder != nullptr, "video: this FFmpeg has no decoder for ", file.string());
    codec.reset(avcodec_alloc_context3(decoder));
    codec->thread_count = 1;
    check(avcodec_open2(codec.get(), decoder, nullptr) >= 0, "video: cannot decode ",
          file.string());
  }
  const Owned<AVPacket> packet = packet_of(file);
  avcodec_flush_buffers(codec.get());
  int code = avcodec_send_packet(codec.get(), packet.get());
  if (code >= 0) code = avcodec_receive_frame(codec.get(), frame.get());
  check(code >= 0, "video: ", file.string(), " is no picture that FFmpeg can read (", reason(code),
        ")");
  check(!(frame->flags & AV_FRAME_FLAG_CORRUPT) && !frame->decode_error_flags,
        "video: ", file.string(), " is damaged");
  // Orientation tags are not followed: pictures of one video would turn apart.
  av_frame_remove_side_data(frame.get(), AV_FRAME_DATA_DISPLAYMATRIX);
  return frame.get();
}

FrameFolder::FrameFolder(const std::string& path) : state_(new State) {
  ffmpeg::quiet();
  State& s = *state_;
  s.path = path;
  std::error_code failed;
  for (fs::directory_iterator it(path, failed), end; !failed && it != end; it.increment(failed))
    if (codec_of(it->path()) != AV_CODEC_ID_NONE) s.names.push_back(it->path().filename().string());
  check(!failed, "video: cannot read the folder ", path, " (", failed.message(), ")");
  check(!s.names.empty(),
        "video: expected a file or a folder of frames (.jpg, .png), got a folder "
        "without any: ",
        path);
  std::sort(s.names.begin(), s.names.end(), natural_less);
  const AVFrame* first = s.decode(s.names[0]);
  s.info.size = {first->height, first->width};
  s.info.frames = int64_t(s.names.size());
  s.info.codec = avcodec_get_name(s.codec_id);
}
FrameFolder::~FrameFolder() = default;

const VideoInfo& FrameFolder::info() const { return state_->info; }
int64_t FrameFolder::frames() const { return int64_t(state_->names.size()); }

void FrameFolder::read(const std::vector<int64_t>& list, FrameSize size,
                       const VideoReader::Take& take) {
  State& s = *state_;
  for (int64_t i : list) {
    check(i >= 0 && i < frames(), "video: ", s.path, " has ", frames(), " frames, asked for frame ",
          i);
    const std::string& name = s.names[size_t(i)];
    const AVFrame* f = s.decode(name);
    check(FrameSize{f->height, f->width} == s.info.size, "video: ", s.path, "/", name, " is ",
          f->height, "x", f->width, ", but ", s.names[0], " before it is ", s.info.size.height, "x",
          s.info.size.width);
    take(i, s.converter.convert(f, size));
  }
}

}  // namespace kinema::engine::video
