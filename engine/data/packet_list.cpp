#include "engine/data/packet_list.h"
#include <algorithm>
#include <functional>

namespace kinema::engine::video {

namespace {

enum class Shows { nothing, one_frame, unknown };

/// What becomes of a packet. Only the codecs whose packets are known to hold one frame each are
/// believed; the others are decoded.
Shows shown(const AVPacket* p, const AVCodecParameters* codec) {
  // Edit lists mark packets that are decoded for others' sake.
  if (p->flags & AV_PKT_FLAG_DISCARD) return Shows::nothing;
  if (p->flags & AV_PKT_FLAG_CORRUPT || p->pts == AV_NOPTS_VALUE) return Shows::unknown;
  switch (codec->codec_id) {
    case AV_CODEC_ID_H264:
    case AV_CODEC_ID_HEVC:
    case AV_CODEC_ID_AV1:
    case AV_CODEC_ID_VP9:
      return Shows::one_frame;
    case AV_CODEC_ID_VP8:
      // RFC 6386, 9.1: the fourth bit from below says whether the frame is shown.
      return p->data[0] >> 4 & 1 ? Shows::one_frame : Shows::nothing;
    case AV_CODEC_ID_MPEG4:
      // "Not coded" pictures show nothing; no longer than this (libavcodec, MAX_NVOP_SIZE).
      return p->size > 19 ? Shows::one_frame : Shows::unknown;
    default: {
      const AVCodecDescriptor* d = avcodec_descriptor_get(codec->codec_id);
      return d && d->props & AV_CODEC_PROP_INTRA_ONLY ? Shows::one_frame : Shows::unknown;
    }
  }
}

/// Containers that keep timestamps over a seek; in others frames are counted.
bool keeps_timestamps(const AVFormatContext* format) {
  const std::string name = format->iformat->name;
  for (const char* good : {"mov,", "matroska,", "avi", "flv", "mpegts", "asf", "ivf", "nut"})
    if (name.starts_with(good)) return true;
  return false;
}

}  // namespace

bool list_packets(Decoder& decoder, const std::string& path, FrameList& list) {
  bool exact = true;
  int64_t first = AV_NOPTS_VALUE;
  for (int64_t i = 0; const AVPacket* p = decoder.next_packet(); ++i) {
    check(i < most_frames, "video: ", path, " has more than ", most_frames, " packets");
    if (i == 0) {
      first = p->pts;
      exact = p->flags & AV_PKT_FLAG_KEY;
    }
    const Shows shows = shown(p, decoder.stream()->codecpar);
    // Frames shown before the first key frame lack what they are made from: some decoders drop
    // them.
    if (shows == Shows::unknown || (shows == Shows::one_frame && p->pts < first)) exact = false;
    if (shows != Shows::nothing) list.timestamps.push_back(p->pts);
    if (p->flags & AV_PKT_FLAG_KEY && p->pts != AV_NOPTS_VALUE)
      list.keys.push_back({p->pts, p->dts == AV_NOPTS_VALUE ? p->pts : p->dts});
  }
  std::sort(list.timestamps.begin(), list.timestamps.end());
  std::sort(list.keys.begin(), list.keys.end(),
            [](FrameList::Key a, FrameList::Key b) { return a.pts < b.pts; });
  return exact && !decoder.damaged();
}

void close_list(const Decoder& decoder, FrameList& list) {
  const std::vector<int64_t>& t = list.timestamps;
  list.frames = int64_t(t.size());
  const bool ascending =
      std::adjacent_find(t.begin(), t.end(), std::greater_equal<>()) == t.end() &&
      (t.empty() || t.front() != AV_NOPTS_VALUE);
  // Where something is broken, what comes out depends on where decoding began.
  list.by_timestamp =
      ascending && !list.keys.empty() && keeps_timestamps(decoder.format()) && !decoder.damaged();
  if (list.by_timestamp) return;
  list.timestamps.clear();
  list.keys.clear();
}

int64_t at_or_after(const FrameList& list, int64_t timestamp) {
  const std::vector<int64_t>& t = list.timestamps;
  return std::lower_bound(t.begin(), t.end(), timestamp) - t.begin();
}

const FrameList::Key* key_for(const FrameList& list, int64_t frame) {
  const auto after =
      std::upper_bound(list.keys.begin(), list.keys.end(), list.timestamps[size_t(frame)],
                       [](int64_t pts, const FrameList::Key& k) { return pts < k.pts; });
  return after == list.keys.begin() ? nullptr : &*(after - 1);
}

}  // namespace kinema::engine::video
