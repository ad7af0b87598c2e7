#include "tools/base/versions.h"
#include <dnnl.h>
#include <fmt/format.h>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
}

namespace kinema::tools {

namespace {
std::string dotted(unsigned v) { return fmt::format("{}.{}.{}", v >> 16, v >> 8 & 255, v & 255); }
}  // namespace

nlohmann::json library_versions() {
  const dnnl_version_t& dnnl = *dnnl_version();
  return {{"kinema", KINEMA_VERSION},
          {"compiler", __VERSION__},
          {"oneDNN", fmt::format("{}.{}.{}", dnnl.major, dnnl.minor, dnnl.patch)},
          {"FFmpeg", av_version_info()},
          {"libavcodec", dotted(avcodec_version())},
          {"libavformat", dotted(avformat_version())},
          {"libswscale", dotted(swscale_version())}};
}

}  // namespace kinema::tools
