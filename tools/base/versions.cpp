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

const char* built_for() {
#if defined(__AVX512F__)
  return "AVX-512";
#elif defined(__AVX2__)
  return "AVX2";
#elif defined(__AVX__)
  return "AVX";
#else
  return "the compiler's default";
#endif
}

std::string dnnl_instructions() {
  switch (dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41:
      return "SSE4.1";
    case dnnl_cpu_isa_avx:
      return "AVX";
    case dnnl_cpu_isa_avx2:
      return "AVX2";
    case dnnl_cpu_isa_avx512_core:
      return "AVX-512";
    case dnnl_cpu_isa_avx512_core_vnni:
      return "AVX-512 VNNI";
    case dnnl_cpu_isa_avx512_core_bf16:
      return "AVX-512 BF16";
    default:
      return fmt::format("{:#x}", unsigned(dnnl_get_effective_cpu_isa()));
  }
}

}  // namespace kinema::tools
