#include "engine/data/video.h"
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include "engine/data/decoder.h"
#include "engine/data/frame_converter.h"
#include "engine/data/frame_folder.h"
#include "engine/data/packet_list.h"

namespace kinema::engine::video {

struct VideoReader::State {
  std::string path;
  ReaderOptions options;
  VideoInfo info;
  FrameConverter converter;
  std::unique_ptr<Decoder> decoder;

  std::unique_ptr<FrameFolder> folder;  // if the path is one; then what follows is not used

  FrameList list;  // empty until listed
  bool listed = false;
  bool by_decoding = false;  // the list holds what the decoder gave, not what the packets promise
  int64_t next = -1;         // the frame that the decoder gives next; -1: unknown
  bool leading = false;      // after a seek, earlier ones may come before it

  void open(bool probe) {
    decoder = std::make_unique<Decoder>(path, options, probe);
    next = 0;
    leading = false;
  }
  void describe();
  void make_list();
  void list_by_decoding();
  const AVFrame* find(int64_t frame);
  const AVFrame* find_by_timestamp(int64_t frame);
  const AVFrame* find_by_counting(int64_t frame);
  const AVFrame* decode_to(int64_t frame);
  bool seek(int64_t timestamp, int64_t frame);
};

void VideoReader::State::describe() {
  const AVFormatContext* format = decoder->format();
  const AVStream* stream = decoder->stream();
  converter = FrameConverter(ffmpeg::display_matrix(stream));
  info.size = {stream->codecpar->height, stream->codecpar->width};
  info.rotation = converter.rotation();
  if (info.rotation % 180) std::swap(info.size.height, info.size.width);
  info.codec = avcodec_get_name(stream->codecpar->codec_id);
  const AVRational rate =
      stream->avg_frame_rate.num > 0 ? stream->avg_frame_rate : stream->r_frame_rate;
  if (rate.num > 0 && rate.den > 0) info.fps = av_q2d(rate);
  if (stream->duration > 0)
    info.duration_seconds = double(stream->duration) * av_q2d(stream->time_base);
  else if (format->duration > 0)
    info.duration_seconds = double(format->duration) / AV_TIME_BASE;
  if (stream->nb_frames > 0)
    info.frames = stream->nb_frames;
  else if (info.duration_seconds > 0 && info.fps > 0)
    info.frames = std::llround(info.duration_seconds * info.fps);
}

void VideoReader::State::make_list() {
  if (listed) return;
  bool exact = list_packets(*decoder, path, list);
  if (exact) {
    close_list(*decoder, list);
    exact = list.by_timestamp;
  }
  next = -1;
  listed = true;
  if (!exact) list_by_decoding();
}

void VideoReader::State::list_by_decoding() {
  Decoder counter(path, options, true);
  counter.skip_pixels();
  list.timestamps.clear();
  while (const AVFrame* f = counter.next()) {
    list.timestamps.push_back(f->pts);
    check(int64_t(list.timestamps.size()) <= most_frames, "video: ", path, " has more than ",
          most_frames, " frames");
  }
  close_list(counter, list);
  next = -1;
  by_decoding = true;
}

/// Decodes forward; null if other frames come than the list says.
const AVFrame* VideoReader::State::decode_to(int64_t frame) {
  while (const AVFrame* f = decoder->next()) {
    if (f->pts == AV_NOPTS_VALUE) break;
    const int64_t expected = list.timestamps[size_t(next)];
    // Shown before the key frame of a seek, they lack what they are made from.
    if (leading && f->pts < expected) continue;
    if (f->pts != expected) break;
    leading = false;
    if (next++ == frame) return f;
  }
  next = -1;
  return nullptr;
}

/// False if this leads to no key frame that the list knows, at or before `frame`.
bool VideoReader::State::seek(int64_t timestamp, int64_t frame) {
  const int64_t key = decoder->seek(timestamp);
  next = key == AV_NOPTS_VALUE ? -1 : at_or_after(list, key);
  leading = true;
  return next >= 0 && next <= frame;
}

const AVFrame* VideoReader::State::find_by_timestamp(int64_t frame) {
  const FrameList::Key* key = key_for(list, frame);
  // Seeking pays where it passes over frames.
  const bool near = next >= 0 && next <= frame && (!key || at_or_after(list, key->pts) <= next);
  if (near)
    if (const AVFrame* f = decode_to(frame)) return f;
  // Reading on from a seek, a damaged file may break up elsewhere than it did from the start.
  const bool from_start = key == list.keys.data() && !decoder->indexed();
  if (from_start) key = nullptr;
  // Containers seek by pts or by dts, and some land late; what comes out decides.
  if (key && seek(key->pts, frame))
    if (const AVFrame* f = decode_to(frame)) return f;
  if (key && key->dts != key->pts && seek(key->dts, frame))
    if (const AVFrame* f = decode_to(frame)) return f;
  open(true);
  return decode_to(frame);
}

const AVFrame* VideoReader::State::find_by_counting(int64_t frame) {
  if (next < 0 || next > frame) open(true);
  while (const AVFrame* f = decoder->next())
    if (next++ == frame) return f;
  next = -1;
  return nullptr;
}

const AVFrame* VideoReader::State::find(int64_t frame) {
  make_list();
  const auto inside = [&] {
    check(frame >= 0 && frame < list.frames, "video: ", path, " has ", list.frames,
          " frames, asked for frame ", frame);
  };
  inside();
  if (list.by_timestamp)
    if (const AVFrame* f = find_by_timestamp(frame)) return f;
  if (!by_decoding) {
    // The packets promised a frame that the decoder does not give: count what it does give.
    list_by_decoding();
    inside();
  }
  const AVFrame* f = find_by_counting(frame);
  check(f != nullptr, "video: frame ", frame, " of ", path, " cannot be decoded");
  return f;
}

VideoReader::VideoReader(const std::string& path, ReaderOptions options) : state_(new State) {
  state_->path = path;
  state_->options = options;
  std::error_code failed;
  if (std::filesystem::is_directory(path, failed)) {
    state_->folder = std::make_unique<FrameFolder>(path);
    state_->info = state_->folder->info();
    state_->list.frames = state_->folder->frames();
    state_->listed = true;
    return;
  }
  state_->open(false);
  state_->describe();
}
VideoReader::~VideoReader() = default;
VideoReader::VideoReader(VideoReader&&) noexcept = default;
VideoReader& VideoReader::operator=(VideoReader&&) noexcept = default;

const VideoInfo& VideoReader::info() const { return state_->info; }

int64_t VideoReader::frames() {
  state_->make_list();
  return state_->list.frames;
}

const FrameList& VideoReader::list() {
  state_->make_list();
  return state_->list;
}

void VideoReader::set_list(FrameList known) {
  if (state_->folder) return;
  state_->list = std::move(known);
  state_->listed = true;
  // Only decoding counts frames without timestamps.
  state_->by_decoding = !state_->list.by_timestamp;
  if (state_->by_decoding) state_->open(true);
}

void VideoReader::read(const std::vector<int64_t>& frames, FrameSize size, const Take& take) {
  check(std::adjacent_find(frames.begin(), frames.end(), std::greater_equal<>()) == frames.end(),
        "video: frames to read must ascend");
  if (size == FrameSize{}) size = state_->info.size;
  check(size.height > 0 && size.width > 0, "video: expected a frame size, got ", size.height, "x",
        size.width);
  if (state_->folder) return state_->folder->read(frames, size, take);
  for (size_t i = 0; i < frames.size();) {
    const bool trusted = state_->listed && !state_->by_decoding;
    const AVFrame* decoded = state_->find(frames[i]);
    // The frames before this one were found in a list that has just turned out to be wrong.
    if (i > 0 && trusted && state_->by_decoding) {
      i = 0;
      continue;
    }
    take(frames[i], state_->converter.convert(decoded, size));
    ++i;
  }
}

Tensor VideoReader::read(const std::vector<int64_t>& frames, FrameSize size) {
  if (size == FrameSize{}) size = state_->info.size;
  Tensor all =
      empty({1, int64_t(frames.size()), size.height, size.width, 3}, Dtype::u8, Device::cpu);
  std::vector<int64_t> order = frames;
  std::sort(order.begin(), order.end());
  order.erase(std::unique(order.begin(), order.end()), order.end());
  read(order, size, [&](int64_t frame, const View& rgb) {
    for (size_t t = 0; t < frames.size(); ++t) {
      if (frames[t] != frame) continue;
      const View to = all.view().slice(1, int64_t(t), 1);
      for (int64_t y = 0; y < size.height; ++y)
        std::copy_n(kernels::data<const uint8_t>(rgb) + y * rgb.stride(2), 3 * size.width,
                    kernels::data<uint8_t>(to) + y * to.stride(2));
    }
  });
  return all;
}

}  // namespace kinema::engine::video
