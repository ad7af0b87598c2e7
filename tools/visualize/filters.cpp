#include "engine/report/filters.h"
#include <cstdio>
#include <filesystem>
#include <memory>
#include "engine/data/image_writer.h"
#include "engine/io/files.h"
#include "tools/base/command.h"
#include "tools/base/network.h"

namespace kinema::tools {

namespace {

namespace fs = std::filesystem;
namespace report = engine::report;

struct Settings {
  std::string run, weights, layer, out, gif, png;
};

void write(const fs::path& path, const std::string& bytes) {
  engine::io::write_whole(path, [&](std::ostream& out) { out << bytes; });
  std::printf("%s\n", path.c_str());
}

int show(const Settings& s) {
  usage(!s.out.empty() || !s.gif.empty() || !s.png.empty(),
        "visualize: name the folder to write filters.gif and filters.png to with --out, or files "
        "with --gif and --png");
  check_output("--gif", s.gif);
  check_output("--png", s.png);
  const Network n = load_network(s.run, s.weights);
  const report::Filters filters = report::filters_of(*n.net, s.layer);
  fs::path gif = s.gif, png = s.png;
  if (!s.out.empty()) {
    std::error_code error;
    fs::create_directories(s.out, error);
    engine::check(!error, "visualize: cannot create the folder ", fs::path(s.out), ": ",
                  error.message());
    if (gif.empty()) gif = fs::path(s.out) / "filters.gif";
    if (png.empty()) png = fs::path(s.out) / "filters.png";
  }
  std::fprintf(stderr, "visualize: %lld filters of %lld frames of %s\n",
               static_cast<long long>(filters.count()), static_cast<long long>(filters.frames()),
               filters.name.c_str());
  if (!gif.empty())
    write(gif, engine::video::encode_gif(report::moving_grid(filters).view(),
                                         report::frame_seconds(filters.frames())));
  if (!png.empty()) write(png, engine::video::encode_png(report::contact_sheet(filters).view()));
  return 0;
}

std::function<int()> define(Options& options) {
  auto s = std::make_shared<Settings>();
  declare_source(options, s->run, s->weights);
  options.add("--layer", s->layer, "convolution to show (default: the first that sees colours)");
  options.add("--out", s->out, "folder for filters.gif and filters.png");
  options.add("--gif", s->gif, "file for the filters as moving pictures");
  options.add("--png", s->png, "file for the contact sheet: a row a filter, a column a frame");
  options.add_config();
  return [s] { return show(*s); };
}

}  // namespace

extern const Command filters_visual;
const Command filters_visual = {"filters", "the first layer's filters as moving edges", define};

}  // namespace kinema::tools
