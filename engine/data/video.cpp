#include "engine/data/video.h"
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include "engine/data/frame_converter.h"
#include "engine/data/frame_folder.h"

namespace kinema::engine::video {

using ffmpeg::Owned, ffmpeg::reason;

namespace {

using Key = FrameList::Key;

/// One open file: packets of its video stream in, frames out.
class Decoder {
 public:
  Decoder(const std::string& path, int threads, bool probe);

  /// The next frame in order of presentation; null at the end. Damaged packets are passed over.
  const AVFrame* next();

  /// The next packet of the video stream, undecoded; null at the end.
  const AVPacket* next_packet();

  /// Goes to the last point before `timestamp` where decoding can begin; false if it cannot.
  bool seek(int64_t timestamp);

  const AVFormatContext* format() const { return format_.get(); }
  const AVStream* stream() const { return stream_; }

 private:
  void open_stream(const std::string& path, int threads);

  Owned<AVFormatContext> format_;
  Owned<AVCodecContext> codec_;
  Owned<AVPacket> packet_{av_packet_alloc()};
  Owned<AVFrame> frame_{av_frame_alloc()};
  AVStream* stream_ = nullptr;
  bool drained_ = false;
};

/// True if the header alone describes the stream, so that probing by decoding (1 to 3 ms) can be
/// left out: mp4 and mov with the decoder's configuration.
bool described(const AVFormatContext* format) {
  if (std::string(format->iformat->name).find("mp4") == std::string::npos) return false;
  for (unsigned i = 0; i < format->nb_streams; ++i) {
    const AVCodecParameters* p = format->streams[i]->codecpar;
    if (p->codec_type != AVMEDIA_TYPE_VIDEO) continue;
    if (p->codec_id != AV_CODEC_ID_H264 || p->width <= 0 || p->extradata_size <= 0) return false;
  }
  return true;
}

Decoder::Decoder(const std::string& path, int threads, bool probe) {
  ffmpeg::quiet();
  check(std::filesystem::exists(path), "video: no such file: ", path);
  check(!std::filesystem::is_directory(path), "video: expected a file, got a folder: ", path);
  AVFormatContext* raw = nullptr;
  // "file:" and the list keep names with a colon, and playlists, from opening anything else.
  AVDictionary* options = nullptr;
  av_dict_set(&options, "protocol_whitelist", "file", 0);
  const int opened = avformat_open_input(&raw, ("file:" + path).c_str(), nullptr, &options);
  av_dict_free(&options);
  check(opened >= 0, "video: ", path, " is no video that FFmpeg can read (", reason(opened), ")");
  format_.reset(raw);
  if (probe || !described(raw)) {
    const int probed = avformat_find_stream_info(raw, nullptr);
    check(probed >= 0, "video: ", path, " is damaged (", reason(probed), ")");
  }
  open_stream(path, threads);
}

void Decoder::open_stream(const std::string& path, int threads) {
  const AVCodec* decoder = nullptr;
  const int index = av_find_best_stream(format_.get(), AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
  check(index != AVERROR_DECODER_NOT_FOUND, "video: this FFmpeg has no decoder for ", path);
  // The cover picture of a song is no video.
  check(index >= 0 && !(format_->streams[index]->disposition & AV_DISPOSITION_ATTACHED_PIC),
        "video: ", path, " has no video stream");
  stream_ = format_->streams[index];
  for (unsigned i = 0; i < format_->nb_streams; ++i)
    if (int(i) != index) format_->streams[i]->discard = AVDISCARD_ALL;
  check(stream_->codecpar->width > 0 && stream_->codecpar->height > 0, "video: ", path,
        " does not say how large its frames are: it is damaged or no video");
  codec_.reset(avcodec_alloc_context3(decoder));
  avcodec_parameters_to_context(codec_.get(), stream_->codecpar);
  codec_->pkt_timebase = stream_->time_base;
  codec_->thread_count = threads;
  const int code = avcodec_open2(codec_.get(), decoder, nullptr);
  check(code >= 0, "video: cannot decode ", path, " (", reason(code), ")");
}

const AVPacket* Decoder::next_packet() {
  do {
    av_packet_unref(packet_.get());
    // A file that breaks off ends with an error instead of "end of file"; it ends all the same.
    if (av_read_frame(format_.get(), packet_.get()) < 0) return nullptr;
  } while (packet_->stream_index != stream_->index);
  return packet_.get();
}

const AVFrame* Decoder::next() {
  // Draining ends with "end of file"; a decoder that reports damage for ever is left after 64.
  for (int damaged = 0; damaged < 64;) {
    const int got = avcodec_receive_frame(codec_.get(), frame_.get());
    if (got >= 0) return frame_.get();
    if (got == AVERROR_EOF) return nullptr;
    if (drained_) {
      ++damaged;
      continue;
    }
    const AVPacket* packet = next_packet();
    drained_ = !packet;
    avcodec_send_packet(codec_.get(), packet);
  }
  return nullptr;
}

bool Decoder::seek(int64_t timestamp) {
  avcodec_flush_buffers(codec_.get());
  drained_ = false;
  return av_seek_frame(format_.get(), stream_->index, timestamp, AVSEEK_FLAG_BACKWARD) >= 0;
}

}  // namespace

struct VideoReader::State {
  std::string path;
  int threads = 1;
  VideoInfo info;
  Orientation orientation;
  FrameConverter converter;
  std::unique_ptr<Decoder> decoder;

  std::unique_ptr<FrameFolder> folder;  // if the path is one; then what follows is not used

  bool listed = false;
  FrameList known;        // once listed
  int64_t position = -1;  // the frame that came out last; -1: at the start

  void open(bool probe) {
    decoder = std::make_unique<Decoder>(path, threads, probe);
    position = -1;
  }
  void describe();
  void list();
  void list_by_decoding();
  const AVFrame* find(int64_t frame);
  const AVFrame* find_by_timestamp(int64_t frame);
  const AVFrame* find_by_counting(int64_t frame);
  const AVFrame* decode_to(int64_t frame);
  bool key_between(int64_t frame) const;
};

void VideoReader::State::describe() {
  const AVFormatContext* format = decoder->format();
  const AVStream* stream = decoder->stream();
  orientation = orientation_of(stream);
  info.size = {stream->codecpar->height, stream->codecpar->width};
  if (orientation.transpose) std::swap(info.size.height, info.size.width);
  info.rotation = orientation.rotation;
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

/// Packets in, no decoding: a file of 10 s takes a few milliseconds.
void VideoReader::State::list() {
  if (listed) return;
  while (const AVPacket* packet = decoder->next_packet()) {
    known.by_timestamp = known.by_timestamp && packet->pts != AV_NOPTS_VALUE;
    if (packet->flags & AV_PKT_FLAG_KEY)
      known.keys.push_back(
          {packet->pts, packet->dts == AV_NOPTS_VALUE ? packet->pts : packet->dts});
    // Edit lists mark packets that are decoded for others' sake and not shown.
    if (!(packet->flags & AV_PKT_FLAG_DISCARD)) known.timestamps.push_back(packet->pts);
  }
  std::sort(known.timestamps.begin(), known.timestamps.end());
  std::sort(known.keys.begin(), known.keys.end(), [](Key a, Key b) { return a.pts < b.pts; });
  known.by_timestamp = known.by_timestamp && !known.keys.empty() &&
                       std::adjacent_find(known.timestamps.begin(), known.timestamps.end()) ==
                           known.timestamps.end();
  if (!known.by_timestamp) return list_by_decoding();
  known.frames = int64_t(known.timestamps.size());
  listed = true;
  // At the end of the file now: the next frame needs a seek, or the start.
  position = known.frames;
}

void VideoReader::State::list_by_decoding() {
  known = {.by_timestamp = false};
  open(true);
  for (known.frames = 0; decoder->next();) ++known.frames;
  position = known.frames;
  listed = true;
}

/// True if seeking to `frame` passes over frames that would be decoded in vain.
bool VideoReader::State::key_between(int64_t frame) const {
  const int64_t here = known.timestamps[size_t(position)], there = known.timestamps[size_t(frame)];
  return std::any_of(known.keys.begin(), known.keys.end(),
                     [&](const Key& k) { return k.pts > here && k.pts <= there; });
}

/// Decodes forward; null if frames with later timestamps, or the end, come before the one wanted.
const AVFrame* VideoReader::State::decode_to(int64_t frame) {
  const int64_t wanted = known.timestamps[size_t(frame)];
  while (const AVFrame* f = decoder->next()) {
    if (f->pts == AV_NOPTS_VALUE || f->pts > wanted) break;
    if (f->pts == wanted) {
      position = frame;
      return f;
    }
  }
  position = known.frames;  // unknown: the next frame needs a seek
  return nullptr;
}

const AVFrame* VideoReader::State::find_by_timestamp(int64_t frame) {
  if (position >= 0 && position < frame && !key_between(frame))
    if (const AVFrame* f = decode_to(frame)) return f;
  const auto after =
      std::upper_bound(known.keys.begin(), known.keys.end(), known.timestamps[size_t(frame)],
                       [](int64_t pts, const Key& k) { return pts < k.pts; });
  // Containers seek by pts or by dts, and some land late; what comes out decides.
  if (after != known.keys.begin()) {
    const Key key = *(after - 1);
    if (decoder->seek(key.pts))
      if (const AVFrame* f = decode_to(frame)) return f;
    if (key.dts != key.pts && decoder->seek(key.dts))
      if (const AVFrame* f = decode_to(frame)) return f;
  }
  open(true);
  return decode_to(frame);
}

const AVFrame* VideoReader::State::find_by_counting(int64_t frame) {
  if (position >= frame) open(true);
  while (const AVFrame* f = decoder->next())
    if (++position == frame) return f;
  return nullptr;
}

const AVFrame* VideoReader::State::find(int64_t frame) {
  list();
  const auto inside = [&] {
    check(frame >= 0 && frame < known.frames, "video: ", path, " has ", known.frames,
          " frames, asked for frame ", frame);
  };
  inside();
  if (known.by_timestamp) {
    if (const AVFrame* f = find_by_timestamp(frame)) return f;
    // The packets promised a frame that the decoder does not give: count what it does give.
    list_by_decoding();
    inside();
  }
  const AVFrame* f = find_by_counting(frame);
  check(f != nullptr, "video: frame ", frame, " of ", path, " cannot be decoded");
  return f;
}

VideoReader::VideoReader(const std::string& path, int threads) : state_(new State) {
  state_->path = path;
  state_->threads = threads;
  if (std::filesystem::is_directory(path)) {
    state_->folder = std::make_unique<FrameFolder>(path);
    state_->info = state_->folder->info();
    state_->known.frames = state_->folder->frames();
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
  state_->list();
  return state_->known.frames;
}

const FrameList& VideoReader::list() {
  state_->list();
  return state_->known;
}

void VideoReader::set_list(FrameList known) {
  if (state_->folder) return;
  state_->known = std::move(known);
  state_->listed = true;
  // Counting decodes the file as list_by_decoding() did.
  if (!state_->known.by_timestamp) state_->open(true);
}

void VideoReader::read(const std::vector<int64_t>& frames, FrameSize size, const Take& take) {
  check(std::adjacent_find(frames.begin(), frames.end(), std::greater_equal<>()) == frames.end(),
        "video: frames to read must ascend");
  if (size == FrameSize{}) size = state_->info.size;
  check(size.height > 0 && size.width > 0, "video: expected a frame size, got ", size.height, "x",
        size.width);
  if (state_->folder) return state_->folder->read(frames, size, take);
  for (size_t i = 0; i < frames.size(); ++i) {
    const AVFrame* decoded = state_->find(frames[i]);
    take(frames[i], state_->converter.convert(decoded, size, state_->orientation));
  }
}

Tensor VideoReader::read(const std::vector<int64_t>& frames, FrameSize size) {
  if (size == FrameSize{}) size = state_->info.size;
  Tensor all = empty({1, int64_t(frames.size()), size.height, size.width, 3}, Dtype::u8);
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
