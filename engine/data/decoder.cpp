#include "engine/data/decoder.h"
#include <filesystem>
#include <string_view>
#include <vector>

namespace kinema::engine::video {

using ffmpeg::Owned, ffmpeg::reason;

namespace {

/// Demuxers that open other files, and the one that paints the letters of a text file.
bool refused(const AVInputFormat* format) {
  const std::string names = "," + std::string(format->name) + ",";
  for (const char* other : {",hls,", ",dash,", ",concat,", ",imf,", ",sdp,", ",rtsp,", ",tty,"})
    if (names.find(other) != std::string::npos) return true;
  return false;
}

int refuse_other_files(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
  return AVERROR(EACCES);
}

/// True if the header alone describes the stream, so that probing by decoding can be left out: mp4
/// and mov with the decoder's configuration.
bool described(const AVFormatContext* format) {
  if (std::string(format->iformat->name).find("mp4") == std::string::npos) return false;
  int videos = 0;
  for (unsigned i = 0; i < format->nb_streams; ++i) {
    const AVCodecParameters* p = format->streams[i]->codecpar;
    if (p->codec_type != AVMEDIA_TYPE_VIDEO) continue;
    if (p->codec_id != AV_CODEC_ID_H264 || p->width <= 0 || p->extradata_size <= 0) return false;
    ++videos;
  }
  return videos == 1;
}

/// The video stream that the ffmpeg program takes (fftools/ffmpeg_opt.c, open_output_file): those
/// with packets in the probed part, then those marked as default, then the largest.
AVStream* chosen_stream(const AVFormatContext* format) {
  AVStream* best = nullptr;
  int64_t best_score = -1;
  for (unsigned i = 0; i < format->nb_streams; ++i) {
    AVStream* s = format->streams[i];
    if (s->codecpar->codec_type != AVMEDIA_TYPE_VIDEO) continue;
    if (s->disposition & AV_DISPOSITION_ATTACHED_PIC) continue;
    const int64_t score = int64_t(s->codecpar->width) * s->codecpar->height +
                          (s->event_flags & AVSTREAM_EVENT_FLAG_NEW_PACKETS ? 100'000'000 : 0) +
                          (s->disposition & AV_DISPOSITION_DEFAULT ? 5'000'000 : 0);
    if (score > best_score) best = s, best_score = score;
  }
  return best;
}

/// avformat_find_stream_info with the decoders that it opens held to one thread and our limits.
int probe_streams(AVFormatContext* format) {
  std::vector<AVDictionary*> options(format->nb_streams, nullptr);
  for (AVDictionary*& o : options) {
    av_dict_set_int(&o, "max_pixels", most_pixels, 0);
    av_dict_set_int(&o, "threads", 1, 0);
  }
  const int code = avformat_find_stream_info(format, options.empty() ? nullptr : options.data());
  for (AVDictionary*& o : options) av_dict_free(&o);
  return code;
}

}  // namespace

Decoder::Decoder(const std::string& path, const ReaderOptions& options, bool probe)
    : path_(path), patience_(options.patience_seconds) {
  ffmpeg::quiet();
  av_max_alloc(most_bytes_at_once);
  namespace fs = std::filesystem;
  std::error_code failed;
  const fs::file_status status = fs::status(path, failed);
  check(status.type() != fs::file_type::not_found, "video: no such file: ", path);
  check(!failed, "video: cannot open ", path, " (", failed.message(), ")");
  check(!fs::is_directory(status), "video: expected a file, got a folder: ", path);
  check(fs::is_regular_file(status),
        "video: expected a regular file, got a pipe or device: ", path);
  open_file();
  if (probe || !described(format_.get())) {
    const int probed = probe_streams(format_.get());
    check_patience();
    check(probed >= 0, "video: ", path, " is damaged (", reason(probed), ")");
  }
  open_stream(options.threads);
}

void Decoder::open_file() {
  const AVIOInterruptCB interrupt = patience_.callback();
  // With "file:" a name with a colon opens nothing else.
  const std::string url = "file:" + path_;
  AVIOContext* io = nullptr;
  const int opened = avio_open2(&io, url.c_str(), AVIO_FLAG_READ, &interrupt, nullptr);
  check(opened >= 0, "video: cannot open ", path_, " (", reason(opened), ")");
  file_.reset(io);
  check(avio_size(io) != 0, "video: ", path_, " is empty");
  const AVInputFormat* kind = nullptr;
  int code = av_probe_input_buffer2(io, &kind, url.c_str(), nullptr, 0, 0);
  if (code >= 0 && refused(kind)) code = AVERROR_INVALIDDATA;
  AVFormatContext* raw = nullptr;
  if (code >= 0) {
    raw = avformat_alloc_context();
    check(raw != nullptr, "video: no memory to open ", path_);
    raw->pb = io;
    raw->interrupt_callback = interrupt;
    raw->io_open = refuse_other_files;
    raw->max_streams = 256;
    // On failure this frees the context and keeps the file.
    code = avformat_open_input(&raw, url.c_str(), kind, nullptr);
  }
  check_patience();
  check(code >= 0, "video: ", path_, " is no video that FFmpeg can read (", reason(code), ")");
  format_.reset(raw);
}

void Decoder::open_stream(int threads) {
  stream_ = chosen_stream(format_.get());
  check(stream_ != nullptr, "video: ", path_, " has no video stream");
  const AVCodecParameters* p = stream_->codecpar;
  const AVCodec* decoder = avcodec_find_decoder(p->codec_id);
  check(decoder != nullptr, "video: this FFmpeg has no decoder for ", path_, " (",
        avcodec_get_name(p->codec_id), ")");
  for (unsigned i = 0; i < format_->nb_streams; ++i)
    if (format_->streams[i] != stream_) format_->streams[i]->discard = AVDISCARD_ALL;
  check(p->width > 0 && p->height > 0, "video: ", path_,
        " does not say how large its frames are: it is damaged or no video");
  check(p->width <= most_side && p->height <= most_side &&
            int64_t(p->width) * p->height <= most_pixels,
        "video: frames of ", path_, " must have at most ", most_side, " pixels a side and ",
        most_pixels, " in all, got ", p->height, "x", p->width);
  codec_.reset(avcodec_alloc_context3(decoder));
  check(codec_ && avcodec_parameters_to_context(codec_.get(), p) >= 0,
        "video: no memory to decode ", path_);
  codec_->pkt_timebase = stream_->time_base;
  codec_->thread_count = threads;
  codec_->max_pixels = most_pixels;
  const int code = avcodec_open2(codec_.get(), decoder, nullptr);
  check(code >= 0, "video: cannot decode ", path_, " (", reason(code), ")");
}

bool Decoder::indexed() const {
  const std::string_view name = format_->iformat->name;
  return name.starts_with("mov,") || name == "avi";
}

void Decoder::check_patience() const {
  check(!patience_.ended(), "video: ", path_, " gave nothing for ", patience_.seconds(),
        " s: it is damaged, or its disk does not answer");
}

void Decoder::skip_pixels() {
  codec_->skip_idct = AVDISCARD_ALL;
  codec_->skip_loop_filter = AVDISCARD_ALL;
}

const AVPacket* Decoder::next_packet() {
  patience_.renew();
  return read_packet();
}

const AVPacket* Decoder::read_packet() {
  for (;;) {
    av_packet_unref(packet_.get());
    const int code = av_read_frame(format_.get(), packet_.get());
    check_patience();
    if (code < 0) {
      // A file that breaks off ends with an error instead of "end of file"; it ends all the same.
      damaged_ = damaged_ || code != AVERROR_EOF || (format_->pb && format_->pb->error < 0);
      return nullptr;
    }
    // An empty packet would mean the end to the decoder.
    if (packet_->stream_index == stream_->index && packet_->size > 0) return packet_.get();
  }
}

const AVFrame* Decoder::next() {
  patience_.renew();
  // Draining ends with "end of file"; a decoder that reports damage for ever is left after 64.
  for (int broken = 0; broken < 64;) {
    const int got = avcodec_receive_frame(codec_.get(), frame_.get());
    check_patience();
    if (got >= 0) return frame_.get();
    if (got == AVERROR_EOF) return nullptr;
    damaged_ = damaged_ || got != AVERROR(EAGAIN);
    if (drained_) {
      ++broken;
      continue;
    }
    const AVPacket* packet = waiting_ ? packet_.get() : read_packet();
    waiting_ = false;
    drained_ = !packet;
    damaged_ = avcodec_send_packet(codec_.get(), packet) < 0 || damaged_;
  }
  return nullptr;
}

int64_t Decoder::seek(int64_t timestamp) {
  patience_.renew();
  avcodec_flush_buffers(codec_.get());
  drained_ = waiting_ = false;
  if (av_seek_frame(format_.get(), stream_->index, timestamp, AVSEEK_FLAG_BACKWARD) < 0)
    return AV_NOPTS_VALUE;
  // Transport streams lead to the middle of a group of pictures, where some decoders make frames up
  // from references that they lack.
  while (const AVPacket* packet = read_packet())
    if (packet->flags & AV_PKT_FLAG_KEY) {
      waiting_ = true;
      return packet->pts;
    }
  return AV_NOPTS_VALUE;
}

}  // namespace kinema::engine::video
