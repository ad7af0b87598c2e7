#include "engine/data/score_overlay.h"
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

struct FreeGraph {
  void operator()(AVFilterGraph* g) const { avfilter_graph_free(&g); }
};

using Settings = std::vector<std::pair<const char*, std::string>>;

/// Filters one behind another.
class Chain {
 public:
  explicit Chain(FrameSize size) {
    append("buffer", {{"width", std::to_string(size.width)},
                      {"height", std::to_string(size.height)},
                      {"pix_fmt", "rgb24"},
                      {"time_base", "1/25"}});
    first_ = last_;
  }

  /// Options are set one by one: in a description of the whole chain a name would need escapes.
  void append(const char* name, const Settings& settings) {
    const AVFilter* filter = avfilter_get_by_name(name);
    check(filter != nullptr, "video: this FFmpeg has no filter ", name);
    AVFilterContext* made = avfilter_graph_alloc_filter(graph_.get(), filter, nullptr);
    check(made != nullptr, "video: no memory for filter ", name);
    for (const auto& [key, value] : settings)
      need(av_opt_set(made, key, value.c_str(), AV_OPT_SEARCH_CHILDREN), name);
    need(avfilter_init_str(made, nullptr), name);
    if (last_) need(avfilter_link(last_, 0, made, 0), name);
    last_ = made;
  }
  void finish() {
    append("format", {{"pix_fmts", "rgb24"}});
    append("buffersink", {});
    need(avfilter_graph_config(graph_.get(), nullptr), "graph");
  }
  void run(AVFrame* in, AVFrame* out) {
    need(av_buffersrc_add_frame(first_, in), "frame in");
    need(av_buffersink_get_frame(last_, out), "frame out");
  }

 private:
  static void need(int code, const char* what) {
    check(code >= 0, "video: drawing scores: ", what, ": ", reason(code));
  }
  std::unique_ptr<AVFilterGraph, FreeGraph> graph_{avfilter_graph_alloc()};
  AVFilterContext *first_ = nullptr, *last_ = nullptr;
};

/// At most `most` characters of UTF-8, the last an ellipsis where some were cut off.
std::string shortened(const std::string& name, size_t most) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < name.size(); ++i)
    if ((name[i] & 0xC0) != 0x80) starts.push_back(i);
  if (starts.size() <= most) return name;
  return name.substr(0, starts[most - 1]) + "\u2026";
}

/// Where the bars lie in a frame, in pixels.
struct Layout {
  int64_t font, row, margin, width, rows;

  explicit Layout(FrameSize size)
      : font(std::max<int64_t>(9, size.height / 22)),
        row(font * 3 / 2),
        margin(std::max<int64_t>(2, font / 2)),
        width(std::max<int64_t>(1, std::min(size.width - 2 * margin, font * 20))),
        rows((size.height - 2 * margin) / row) {}
  /// Letters that fit: those of the default font are some 0.6 of its size wide, "100% " is five.
  size_t letters() const {
    return size_t(std::max<int64_t>(1, int64_t(double(width) / (0.62 * double(font))) - 6));
  }
};

}  // namespace

struct ScoreOverlay::State {
  FrameSize size;
  std::unique_ptr<Chain> chain;
  Owned<AVFrame> in{av_frame_alloc()}, out{av_frame_alloc()};
};

ScoreOverlay::ScoreOverlay(FrameSize size) : state_(new State) {
  ffmpeg::quiet();
  state_->size = size;
  show({});
}
ScoreOverlay::~ScoreOverlay() = default;

void ScoreOverlay::show(const std::vector<ScoreBar>& bars) {
  const FrameSize size = state_->size;
  const Layout at(size);
  auto chain = std::make_unique<Chain>(size);
  const int64_t rows = std::min<int64_t>(int64_t(bars.size()), at.rows);
  const auto box = [&](int64_t x, int64_t y, int64_t w, int64_t h, const char* colour) {
    if (w <= 0 || h <= 0) return;
    chain->append("drawbox", {{"x", std::to_string(x)},
                              {"y", std::to_string(y)},
                              {"w", std::to_string(w)},
                              {"h", std::to_string(h)},
                              {"color", colour},
                              {"t", "fill"}});
  };
  const int64_t top = size.height - at.margin - rows * at.row;
  if (rows > 0) box(at.margin, top, at.width, rows * at.row, "black@0.55");
  for (int64_t i = 0; i < rows; ++i) {
    const ScoreBar& bar = bars[size_t(i)];
    const double share = std::clamp(bar.share, 0., 1.);
    const int64_t y = top + i * at.row, gap = std::max<int64_t>(1, at.row / 10);
    box(at.margin, y + gap, std::llround(share * double(at.width)), at.row - 2 * gap,
        i == 0 ? "0x2f9e44@0.9" : "0x4c6ef5@0.8");
    const std::string percent = std::to_string(std::llround(100 * share)) + "%";
    chain->append("drawtext", {{"text", percent + " " + shortened(bar.name, at.letters())},
                               {"expansion", "none"},
                               {"fontsize", std::to_string(at.font)},
                               {"fontcolor", "white"},
                               {"x", std::to_string(at.margin + at.font / 3)},
                               {"y", std::to_string(y + (at.row - at.font) / 2)}});
  }
  chain->finish();
  state_->chain = std::move(chain);
}

View ScoreOverlay::draw(const View& rgb) {
  State& s = *state_;
  check(rgb.shape.rank == 5 && rgb.shape[2] == s.size.height && rgb.shape[3] == s.size.width,
        "video: expected a frame of ", s.size.height, "x", s.size.width, ", got ", rgb.shape);
  av_frame_unref(s.in.get());
  s.in->format = AV_PIX_FMT_RGB24;
  s.in->width = int(s.size.width);
  s.in->height = int(s.size.height);
  check(av_frame_get_buffer(s.in.get(), 0) >= 0, "video: no memory for a frame");
  for (int64_t y = 0; y < s.size.height; ++y)
    std::copy_n(kernels::data<const uint8_t>(rgb) + y * rgb.stride(2), 3 * s.size.width,
                s.in->data[0] + y * s.in->linesize[0]);
  av_frame_unref(s.out.get());
  s.chain->run(s.in.get(), s.out.get());
  View drawn{.data = s.out->data[0], .dtype = Dtype::u8, .shape = rgb.shape};
  drawn.strides = {s.size.height * s.out->linesize[0], s.size.height * s.out->linesize[0],
                   s.out->linesize[0], 3, 1};
  return drawn;
}

}  // namespace kinema::engine::video
