#include "engine/data/frame_converter.h"
#include <fmt/format.h>
#include <algorithm>
#include <cmath>

namespace kinema::engine::video {

using ffmpeg::reason;

namespace {

/// Accurate rounding and full chroma: without them libswscale repeats chroma samples and rounds
/// down, up to 10 levels off. Bilinear widens its filter where it shrinks.
constexpr const char* scaler = "flags=bilinear+accurate_rnd+full_chroma_int";

/// Clockwise degrees of a display matrix, in [0, 360).
double degrees(const int32_t* matrix) {
  const double counterclockwise = av_display_rotation_get(matrix);
  if (std::isnan(counterclockwise)) return 0;
  const double theta = -std::round(counterclockwise);
  return theta - 360 * std::floor(theta / 360);
}

/// The filters that turn and mirror, each with its comma, as fftools/ffmpeg_filter.c
/// (configure_input_video_filter) puts them.
std::string turning(const int32_t* m) {
  const double theta = degrees(m);
  if (std::abs(theta - 90) < 1) return m[3] > 0 ? "transpose=cclock_flip," : "transpose=clock,";
  if (std::abs(theta - 270) < 1) return m[3] < 0 ? "transpose=clock_flip," : "transpose=cclock,";
  if (std::abs(theta - 180) < 1)
    return std::string(m[0] < 0 ? "hflip," : "") + (m[4] < 0 ? "vflip," : "");
  if (theta > 1 && theta < 359) return fmt::format("rotate={:f}*PI/180,", theta);
  return m[4] < 0 ? "vflip," : "";
}

int quarter_turns(const int32_t* matrix) { return int(std::lround(degrees(matrix) / 90)) % 4; }

}  // namespace

FrameConverter::FrameConverter(const int32_t* display_matrix) : out_(av_frame_alloc()) {
  if (!display_matrix) return;
  matrix_.emplace();
  std::copy_n(display_matrix, 9, matrix_->begin());
}

int FrameConverter::rotation() const { return matrix_ ? 90 * quarter_turns(matrix_->data()) : 0; }

void FrameConverter::build(const Setting& s) {
  const char* name = av_get_pix_fmt_name(static_cast<AVPixelFormat>(s.format));
  std::string text = fmt::format("buffer=video_size={}x{}:pix_fmt={}:time_base=1/1", s.width,
                                 s.height, name ? name : "none");
#if LIBAVFILTER_VERSION_INT >= AV_VERSION_INT(9, 16, 100)
  // Since FFmpeg 7 a frame's colours belong to the link, not to the frame.
  text += fmt::format(":colorspace={}:range={}", s.space, s.range);
#endif
  const bool sideways = s.matrix && quarter_turns(s.matrix->data()) % 2;
  const FrameSize shown = sideways ? FrameSize{s.width, s.height} : FrameSize{s.height, s.width};
  text += s.matrix ? "," + turning(s.matrix->data()) : ",";
  // At its own size a frame takes the conversion that the filters put in by themselves: it may come
  // before a turn.
  if (s.size != shown) text += fmt::format("scale={}:{}:{},", s.size.width, s.size.height, scaler);
  text += "format=rgb24,buffersink";
  graph_.reset(avfilter_graph_alloc());
  check(graph_ != nullptr, "video: no memory to convert frames");
  graph_->nb_threads = 1;
  // For conversions that the filters put in between, as transpose before 4:2:2.
  av_opt_set(graph_.get(), "scale_sws_opts", scaler, 0);
  AVFilterInOut *in = nullptr, *out = nullptr;
  int code = avfilter_graph_parse2(graph_.get(), text.c_str(), &in, &out);
  avfilter_inout_free(&in);
  avfilter_inout_free(&out);
  if (code >= 0) {
    source_ = graph_->filters[0];
    sink_ = graph_->filters[graph_->nb_filters - 1];
    code = avfilter_graph_config(graph_.get(), nullptr);  // may append conversions of its own
  }
  check(code >= 0, "video: FFmpeg cannot convert ", s.height, "x", s.width, " ", name ? name : "?",
        " to ", s.size.height, "x", s.size.width, " RGB (", reason(code), ")");
  built_ = s;
}

View FrameConverter::convert(const AVFrame* frame, FrameSize size) {
  Setting s{.width = frame->width,
            .height = frame->height,
            .format = frame->format,
            .space = frame->colorspace,
            .range = frame->color_range,
            .size = size,
            .matrix = matrix_};
  const AVFrameSideData* own = av_frame_get_side_data(frame, AV_FRAME_DATA_DISPLAYMATRIX);
  if (own && own->size >= sizeof(Matrix))
    std::copy_n(reinterpret_cast<const int32_t*>(own->data), 9, s.matrix.emplace().begin());
  if (!graph_ || s != built_) build(s);
  av_frame_unref(out_.get());
  // The frame stays the decoder's; its pixels are not copied.
  int code = av_buffersrc_add_frame_flags(source_, const_cast<AVFrame*>(frame),
                                          AV_BUFFERSRC_FLAG_KEEP_REF);
  if (code >= 0) code = av_buffersink_get_frame(sink_, out_.get());
  check(code >= 0, "video: FFmpeg cannot convert a frame to RGB (", reason(code), ")");
  View rgb = kernels::fresh_layout(Dtype::u8, {1, 1, size.height, size.width, 3});
  rgb.data = out_->data[0];
  rgb.strides[2] = out_->linesize[0];
  rgb.strides[0] = rgb.strides[1] = size.height * rgb.strides[2];
  return rgb;
}

}  // namespace kinema::engine::video
