#include "engine/data/video_writer.h"
#include <algorithm>
#include <filesystem>
#include "engine/data/ffmpeg.h"

namespace kinema::engine::video {

using ffmpeg::Owned, ffmpeg::reason;

namespace {

/// An .mp4 being written under its temporary name: closed and removed whatever happens.
struct Output {
  std::string part;
  AVFormatContext* format = nullptr;
  ~Output() {
    if (!format) return;
    const bool open = format->pb != nullptr;
    if (open) avio_closep(&format->pb);
    avformat_free_context(format);
    std::error_code ignored;
    if (open) std::filesystem::remove(part, ignored);
  }
};

/// Sets what makes the quality constant: x264's quantiser, or MPEG-4's (1 to 31, twice as coarse).
void set_quality(AVCodecContext* codec, const VideoOptions& options) {
  if (codec->codec_id == AV_CODEC_ID_H264) {
    // CAVLC instead of CABAC: 10 to 20 % larger, decoded twice as fast.
    av_opt_set(codec->priv_data, "preset", "ultrafast", 0);
    av_opt_set_int(codec->priv_data, "qp", options.quality, 0);
    return;
  }
  codec->flags |= AV_CODEC_FLAG_QSCALE;
  codec->global_quality = FF_QP2LAMBDA * std::clamp(options.quality / 6, 1, 31);
}

}  // namespace

struct VideoWriter::State {
  std::string path;
  VideoOptions options;
  int height = 0, width = 0;
  int64_t written = 0;
  bool closed = false;
  Output out;
  AVStream* stream = nullptr;
  Owned<AVCodecContext> codec;
  Owned<SwsContext> scaler;
  Owned<AVFrame> frame{av_frame_alloc()};
  Owned<AVPacket> packet{av_packet_alloc()};

  template <class... Parts>
  void need(int code, const Parts&... what) const {
    check(code >= 0, "video: cannot write ", path, ": ", what..., " (", reason(code), ")");
  }
  void open_codec();
  void open_file();
  void encode(const AVFrame* next);
};

void VideoWriter::State::open_codec() {
  const AVCodec* encoder = avcodec_find_encoder_by_name("libx264");
  if (!encoder) encoder = avcodec_find_encoder(AV_CODEC_ID_MPEG4);
  check(encoder != nullptr, "video: this FFmpeg has neither libx264 nor mpeg4 to write ", path);
  codec.reset(avcodec_alloc_context3(encoder));
  codec->width = width;
  codec->height = height;
  const bool full_colour = options.full_colour && encoder->id == AV_CODEC_ID_H264;
  codec->pix_fmt = full_colour ? AV_PIX_FMT_YUV444P : AV_PIX_FMT_YUV420P;
  const AVRational rate = av_d2q(options.fps, 100000);
  codec->framerate = rate;
  codec->time_base = av_inv_q(rate);
  codec->gop_size = int(options.key_distance);
  codec->max_b_frames = options.b_frames;
  codec->thread_count = 1;
  codec->colorspace = AVCOL_SPC_SMPTE170M;
  codec->color_primaries = AVCOL_PRI_SMPTE170M;
  codec->color_trc = AVCOL_TRC_SMPTE170M;
  codec->color_range = AVCOL_RANGE_MPEG;
  codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  set_quality(codec.get(), options);
  need(avcodec_open2(codec.get(), encoder, nullptr), "the encoder refuses ", width, "x", height);
  scaler.reset(sws_getContext(width, height, AV_PIX_FMT_RGB24, width, height, codec->pix_fmt,
                              SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP, nullptr,
                              nullptr, nullptr));
  check(scaler != nullptr, "video: libswscale cannot convert ", width, "x", height, " from RGB");
  frame->format = codec->pix_fmt;
  frame->width = width;
  frame->height = height;
  need(av_frame_get_buffer(frame.get(), 0), "no memory");
}

void VideoWriter::State::open_file() {
  need(avformat_alloc_output_context2(&out.format, nullptr, "mp4", out.part.c_str()), "no mp4");
  stream = avformat_new_stream(out.format, nullptr);
  check(stream != nullptr, "video: cannot write ", path, ": no memory");
  stream->time_base = codec->time_base;
  stream->avg_frame_rate = codec->framerate;
  need(avcodec_parameters_from_context(stream->codecpar, codec.get()), "no memory");
  if (options.rotation)
    if (int32_t* matrix = ffmpeg::new_display_matrix(stream))
      av_display_rotation_set(matrix, options.rotation);
  need(avio_open(&out.format->pb, ("file:" + out.part).c_str(), AVIO_FLAG_WRITE), "no such folder");
  need(avformat_write_header(out.format, nullptr), "header");
}

/// Null ends the stream and writes what the encoder still holds.
void VideoWriter::State::encode(const AVFrame* next) {
  need(avcodec_send_frame(codec.get(), next), "frame ", written);
  for (;;) {
    const int code = avcodec_receive_packet(codec.get(), packet.get());
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return;
    need(code, "frame ", written);
    packet->stream_index = stream->index;
    packet->duration = 1;
    av_packet_rescale_ts(packet.get(), codec->time_base, stream->time_base);
    need(av_interleaved_write_frame(out.format, packet.get()), "packet");
  }
}

VideoWriter::VideoWriter(const std::string& path, int64_t height, int64_t width,
                         VideoOptions options)
    : state_(new State) {
  check(height > 0 && width > 0 && height <= 16384 && width <= 16384,
        "video: expected frames of 1 to 16384 pixels, got ", height, "x", width);
  check(options.full_colour || (height % 2 == 0 && width % 2 == 0), "video: frames of ", height,
        "x", width, " need full_colour: 4:2:0 takes even sizes only");
  check(options.fps > 0, "video: fps must be positive, got ", options.fps);
  ffmpeg::quiet();
  State& s = *state_;
  s.path = path;
  s.out.part = path + ".part";
  s.options = options;
  s.height = int(height);
  s.width = int(width);
  s.open_codec();
  s.open_file();
}

VideoWriter::~VideoWriter() = default;

void VideoWriter::write(const View& frames) {
  State& s = *state_;
  check(frames.shape.rank == 5 && frames.shape[0] == 1 && frames.shape[2] == s.height &&
            frames.shape[3] == s.width && frames.shape[4] == 3 && frames.stride(3) == 3,
        "video: expected dense frames [1,T,", s.height, ",", s.width, ",3], got ", frames.shape);
  for (int64_t t = 0; t < frames.shape[1]; ++t) {
    s.need(av_frame_make_writable(s.frame.get()), "no memory");
    const uint8_t* planes[4] = {kernels::data<const uint8_t>(frames) + t * frames.stride(1)};
    const int pitches[4] = {int(frames.stride(2))};
    sws_scale(s.scaler.get(), planes, pitches, 0, s.height, s.frame->data, s.frame->linesize);
    s.frame->pts = s.written++;
    s.frame->quality = s.codec->global_quality;
    s.encode(s.frame.get());
  }
}

void VideoWriter::close() {
  State& s = *state_;
  if (s.closed) return;
  s.encode(nullptr);
  s.need(av_write_trailer(s.out.format), "trailer");
  s.need(avio_closep(&s.out.format->pb), "the disk may be full");
  std::error_code failed;
  std::filesystem::rename(s.out.part, s.path, failed);
  check(!failed, "video: cannot name ", s.path, " (", failed.message(), ")");
  s.closed = true;
}

}  // namespace kinema::engine::video
