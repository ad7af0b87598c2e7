#include "engine/data/image_writer.h"
#include <algorithm>
#include <cmath>
#include "engine/data/ffmpeg.h"
extern "C" {
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
}

namespace kinema::engine::video {

using ffmpeg::Owned, ffmpeg::reason;

namespace {

void need(int code, const char* what) { check(code >= 0, "picture: ", what, ": ", reason(code)); }

/// Frame t of `frames` as FFmpeg's, copied.
Owned<AVFrame> frame_of(const View& frames, int64_t t) {
  Owned<AVFrame> frame(av_frame_alloc());
  frame->format = AV_PIX_FMT_RGB24;
  frame->width = int(frames.shape[3]);
  frame->height = int(frames.shape[2]);
  need(av_frame_get_buffer(frame.get(), 0), "no memory");
  const uint8_t* from = kernels::data<const uint8_t>(frames) + t * frames.stride(1);
  for (int64_t y = 0; y < frames.shape[2]; ++y)
    std::copy_n(from + y * frames.stride(2), frames.shape[3] * 3,
                frame->data[0] + y * frame->linesize[0]);
  return frame;
}

/// An encoder and where its packets go.
class Encoder {
 public:
  Encoder(AVCodecID id, AVPixelFormat pixels, int width, int height, AVRational tick) {
    const AVCodec* found = avcodec_find_encoder(id);
    check(found != nullptr, "picture: this FFmpeg has no encoder for ", avcodec_get_name(id));
    codec_.reset(avcodec_alloc_context3(found));
    codec_->pix_fmt = pixels;
    codec_->width = width;
    codec_->height = height;
    codec_->time_base = tick;
    codec_->thread_count = 1;
    need(avcodec_open2(codec_.get(), found, nullptr), "the encoder refuses");
  }
  const AVCodecContext* codec() const { return codec_.get(); }

  /// Calls `take(packet)` for all that is ready once `frame` is in; null ends the stream.
  template <class Take>
  void encode(const AVFrame* frame, const Take& take) {
    need(avcodec_send_frame(codec_.get(), frame), "cannot be encoded");
    for (;;) {
      const int code = avcodec_receive_packet(codec_.get(), packet_.get());
      if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return;
      need(code, "cannot be encoded");
      take(packet_.get());
    }
  }

 private:
  Owned<AVCodecContext> codec_;
  Owned<AVPacket> packet_{av_packet_alloc()};
};

/// A muxer that writes into memory.
class Muxer {
 public:
  Muxer(const char* format, const AVCodecContext* codec) {
    need(avformat_alloc_output_context2(&out_, nullptr, format, nullptr), "no such format");
    AVStream* stream = avformat_new_stream(out_, nullptr);
    check(stream != nullptr, "picture: no memory");
    stream->time_base = codec->time_base;
    need(avcodec_parameters_from_context(stream->codecpar, codec), "no memory");
    need(avio_open_dyn_buf(&out_->pb), "no memory");
    need(avformat_write_header(out_, nullptr), "header");
  }
  ~Muxer() {
    uint8_t* bytes = nullptr;
    if (out_ && out_->pb) avio_close_dyn_buf(out_->pb, &bytes);
    av_free(bytes);
    avformat_free_context(out_);
  }
  Muxer(const Muxer&) = delete;
  Muxer& operator=(const Muxer&) = delete;

  void write(AVPacket* packet) { need(av_interleaved_write_frame(out_, packet), "packet"); }
  std::string finish() {
    need(av_write_trailer(out_), "trailer");
    uint8_t* bytes = nullptr;
    const int size = avio_close_dyn_buf(out_->pb, &bytes);
    out_->pb = nullptr;
    std::string file(reinterpret_cast<char*>(bytes), size_t(size));
    av_free(bytes);
    return file;
  }

 private:
  AVFormatContext* out_ = nullptr;
};

struct FreeGraph {
  void operator()(AVFilterGraph* g) const { avfilter_graph_free(&g); }
};

constexpr AVRational hundredth{1, 100};

/// RGB frames in, frames of one common palette out, once all are in.
class PaletteFilter {
 public:
  PaletteFilter(int width, int height) : graph_(avfilter_graph_alloc()) {
    const std::string size = std::to_string(width) + "x" + std::to_string(height);
    const std::string text = "buffer@in=video_size=" + size +
                             ":pix_fmt=rgb24:time_base=1/100:pixel_aspect=1/1,split[a][b];"
                             "[a]palettegen=reserve_transparent=0[p];"
                             "[b][p]paletteuse=dither=bayer:bayer_scale=3:diff_mode=rectangle,"
                             "buffersink@out";
    AVFilterInOut *inputs = nullptr, *outputs = nullptr;
    const int code = avfilter_graph_parse2(graph_.get(), text.c_str(), &inputs, &outputs);
    avfilter_inout_free(&inputs);
    avfilter_inout_free(&outputs);
    need(code, "no palette filters");
    need(avfilter_graph_config(graph_.get(), nullptr), "no palette filters");
    for (unsigned i = 0; i < graph_->nb_filters; ++i) {
      const std::string name = graph_->filters[i]->name;
      if (name.find("buffer@in") != name.npos) in_ = graph_->filters[i];
      if (name.find("buffersink@out") != name.npos) out_ = graph_->filters[i];
    }
    check(in_ && out_, "picture: no palette filters");
  }

  /// Null ends the stream.
  void put(AVFrame* frame) { need(av_buffersrc_add_frame(in_, frame), "no memory"); }
  /// Null at the end.
  Owned<AVFrame> take() {
    Owned<AVFrame> frame(av_frame_alloc());
    const int code = av_buffersink_get_frame(out_, frame.get());
    if (code == AVERROR_EOF) return nullptr;
    need(code, "the palette filters fail");
    return frame;
  }

 private:
  std::unique_ptr<AVFilterGraph, FreeGraph> graph_;
  AVFilterContext *in_ = nullptr, *out_ = nullptr;
};

void check_pictures(const View& v, const char* what) {
  check(v.shape.rank == 5 && v.shape[0] == 1 && v.shape[4] == 3 && v.stride(3) == 3 &&
            v.shape[1] > 0 && std::min(v.shape[2], v.shape[3]) > 0 &&
            std::max(v.shape[2], v.shape[3]) < 65536,
        "picture: expected ", what, ", got ", v.shape);
}

}  // namespace

std::string encode_png(const View& picture) {
  check_pictures(picture, "one dense picture [1,1,H,W,3]");
  ffmpeg::quiet();
  Encoder png(AV_CODEC_ID_PNG, AV_PIX_FMT_RGB24, int(picture.shape[3]), int(picture.shape[2]),
              hundredth);
  std::string file;
  auto keep = [&](const AVPacket* p) {
    file.append(reinterpret_cast<const char*>(p->data), size_t(p->size));
  };
  png.encode(frame_of(picture, 0).get(), keep);
  png.encode(nullptr, keep);
  return file;
}

std::string encode_gif(const View& frames, double seconds) {
  check_pictures(frames, "dense frames [1,T,H,W,3]");
  ffmpeg::quiet();
  const int width = int(frames.shape[3]), height = int(frames.shape[2]);
  const int64_t delay = std::max<int64_t>(2, std::llround(100 * seconds));
  PaletteFilter filter(width, height);
  for (int64_t t = 0; t < frames.shape[1]; ++t) {
    const Owned<AVFrame> frame = frame_of(frames, t);
    frame->pts = t * delay;
    filter.put(frame.get());
  }
  filter.put(nullptr);
  Encoder gif(AV_CODEC_ID_GIF, AV_PIX_FMT_PAL8, width, height, hundredth);
  Muxer file("gif", gif.codec());
  auto write = [&](AVPacket* p) {
    p->duration = delay;
    file.write(p);
  };
  while (const Owned<AVFrame> frame = filter.take()) {
    frame->pict_type = AV_PICTURE_TYPE_NONE;
    gif.encode(frame.get(), write);
  }
  gif.encode(nullptr, write);
  return file.finish();
}

Tensor to_bytes(const View& pictures) {
  check(pictures.shape.rank == 5 && pictures.shape[0] == 1, "picture: expected [1,T,H,W,3], got ",
        pictures.shape);
  const Tensor bytes = empty(pictures.shape, Dtype::u8, Device::cpu);
  const View to = bytes.view();
  const int64_t row = pictures.shape[3] * pictures.shape[4];
  for (int64_t t = 0; t < pictures.shape[1]; ++t)
    for (int64_t y = 0; y < pictures.shape[2]; ++y)
      std::transform(
          kernels::data<const float>(pictures) + t * pictures.stride(1) + y * pictures.stride(2),
          kernels::data<const float>(pictures) + t * pictures.stride(1) + y * pictures.stride(2) +
              row,
          kernels::data<uint8_t>(to) + t * to.stride(1) + y * to.stride(2),
          [](float v) { return uint8_t(v > 0 ? std::lround(255 * std::min(v, 1.0f)) : 0); });
  return bytes;
}

}  // namespace kinema::engine::video
