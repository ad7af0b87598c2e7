#include "engine/data/frame_converter.h"
#include <cmath>

namespace kinema::engine::video {

namespace {

/// Accurate rounding and full chroma: without them libswscale repeats chroma samples and rounds
/// down, up to 10 levels off. Bilinear widens its filter where it shrinks.
constexpr int scaler_flags = SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT;

/// `to` = `from` transposed and mirrored; both u8 [1,1,H,W,3].
void turn(const View& from, const Orientation& how, const View& to) {
  const auto* source = kernels::data<const uint8_t>(from);
  auto* target = kernels::data<uint8_t>(to);
  const int64_t height = to.shape[2], width = to.shape[3];
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      const int64_t v = how.mirror_y ? height - 1 - y : y, u = how.mirror_x ? width - 1 - x : x;
      const uint8_t* pixel =
          source + (how.transpose ? u * from.stride(2) + 3 * v : v * from.stride(2) + 3 * u);
      std::copy_n(pixel, 3, target + y * to.stride(2) + 3 * x);
    }
}

Tensor frame_of(FrameSize size) { return empty({1, 1, size.height, size.width, 3}, Dtype::u8); }

bool fits(const Tensor& t, FrameSize size) {
  return t && t.shape(2) == size.height && t.shape(3) == size.width;
}

}  // namespace

Orientation orientation_of(const AVStream* stream) {
  const int32_t* m = ffmpeg::display_matrix(stream);
  if (!m) return {};
  const double counterclockwise = av_display_rotation_get(m);
  if (std::isnan(counterclockwise)) return {};
  const int turns = int(std::lround(-counterclockwise / 90) % 4 + 4) % 4;
  // The matrix may mirror as well; its signs say so, as fftools/ffmpeg_filter.c reads them.
  switch (turns) {
    case 1:
      return {.transpose = true, .mirror_x = m[3] <= 0, .mirror_y = false, .rotation = 90};
    case 2:
      return {.transpose = false, .mirror_x = m[0] < 0, .mirror_y = m[4] < 0, .rotation = 180};
    case 3:
      return {.transpose = true, .mirror_x = m[3] < 0, .mirror_y = true, .rotation = 270};
    default:
      return {.transpose = false, .mirror_x = false, .mirror_y = m[4] < 0, .rotation = 0};
  }
}

void FrameConverter::prepare(const AVFrame* frame, FrameSize stored) {
  if (scaler_ && frame->width == width_ && frame->height == height_ && frame->format == format_ &&
      frame->colorspace == space_ && frame->color_range == range_ && to_ == stored)
    return;
  const auto format = static_cast<AVPixelFormat>(frame->format);
  scaler_.reset(sws_getContext(frame->width, frame->height, format, int(stored.width),
                               int(stored.height), AV_PIX_FMT_RGB24, scaler_flags, nullptr, nullptr,
                               nullptr));
  check(scaler_ != nullptr, "video: libswscale cannot convert ", frame->width, "x", frame->height,
        " ", av_get_pix_fmt_name(format) ? av_get_pix_fmt_name(format) : "?", " to RGB");
  const bool old_full_range = format == AV_PIX_FMT_YUVJ420P || format == AV_PIX_FMT_YUVJ422P ||
                              format == AV_PIX_FMT_YUVJ444P || format == AV_PIX_FMT_YUVJ440P;
  const int full = frame->color_range == AVCOL_RANGE_JPEG || old_full_range;
  // sws_getCoefficients gives BT.601 for what is not said.
  sws_setColorspaceDetails(scaler_.get(), sws_getCoefficients(frame->colorspace), full,
                           sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
  width_ = frame->width, height_ = frame->height, format_ = frame->format;
  space_ = frame->colorspace, range_ = frame->color_range, to_ = stored;
}

View FrameConverter::convert(const AVFrame* frame, FrameSize size, const Orientation& how) {
  const FrameSize stored = how.transpose ? FrameSize{size.width, size.height} : size;
  prepare(frame, stored);
  if (!fits(stored_, stored)) stored_ = frame_of(stored);
  uint8_t* planes[4] = {data<uint8_t>(stored_)};
  const int pitches[4] = {int(stored_.layout.stride(2))};
  sws_scale(scaler_.get(), frame->data, frame->linesize, 0, frame->height, planes, pitches);
  if (!how.transpose && !how.mirror_x && !how.mirror_y) return stored_.view();
  if (!fits(shown_, size)) shown_ = frame_of(size);
  turn(stored_.view(), how, shown_.view());
  return shown_.view();
}

}  // namespace kinema::engine::video
