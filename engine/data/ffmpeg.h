#pragma once
// Inside engine/data/ only: FFmpeg's C interface with owners and errors. Public headers hide it.
extern "C" {
#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}
#include <memory>
#include <string>

namespace kinema::engine::video::ffmpeg {

struct Free {
  void operator()(AVFormatContext* c) const { avformat_close_input(&c); }
  void operator()(AVCodecContext* c) const { avcodec_free_context(&c); }
  void operator()(AVPacket* p) const { av_packet_free(&p); }
  void operator()(AVFrame* f) const { av_frame_free(&f); }
  void operator()(SwsContext* s) const { sws_freeContext(s); }
  void operator()(AVIOContext* c) const { avio_closep(&c); }
  void operator()(AVFilterGraph* g) const { avfilter_graph_free(&g); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

/// FFmpeg's sentence for an error code.
inline std::string reason(int code) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof(text));
  return text;
}

/// Stops FFmpeg from printing: what matters comes as an Error. Costs nothing after the first call.
inline void quiet() {
  static const bool once = (av_log_set_level(AV_LOG_QUIET), true);
  (void)once;
}

/// The stream's display matrix (9 numbers), null if it has none. FFmpeg 6.1 moved it.
inline const int32_t* display_matrix(const AVStream* stream) {
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
  const AVPacketSideData* d =
      av_packet_side_data_get(stream->codecpar->coded_side_data,
                              stream->codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
  return d && d->size >= 36 ? reinterpret_cast<const int32_t*>(d->data) : nullptr;
#else
  size_t bytes = 0;
  const uint8_t* d = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &bytes);
  return d && bytes >= 36 ? reinterpret_cast<const int32_t*>(d) : nullptr;
#endif
}

/// Room for a display matrix in a stream that is to be written; null where memory is short.
inline int32_t* new_display_matrix(AVStream* stream) {
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
  AVPacketSideData* d = av_packet_side_data_new(&stream->codecpar->coded_side_data,
                                                &stream->codecpar->nb_coded_side_data,
                                                AV_PKT_DATA_DISPLAYMATRIX, 36, 0);
  return d ? reinterpret_cast<int32_t*>(d->data) : nullptr;
#else
  return reinterpret_cast<int32_t*>(av_stream_new_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, 36));
#endif
}

}  // namespace kinema::engine::video::ffmpeg
