#pragma once
#include "engine/data/decoder.h"

namespace kinema::engine::video {

// Which frames a file shows, by the timestamps of its packets. Inside engine/data/.

/// Reads all packets, decoding none: a file of 10 s takes a few milliseconds. Leaves `decoder` at
/// the end. True if the decoder will give exactly one frame for each of list.timestamps. Errors:
/// more than most_frames; no progress.
bool list_packets(Decoder& decoder, const std::string& path, FrameList& list);

/// Sets list.frames and list.by_timestamp; without the latter timestamps and keys are dropped.
void close_list(const Decoder& decoder, FrameList& list);

/// The first frame with this timestamp or a later one; list.frames if there is none.
int64_t at_or_after(const FrameList& list, int64_t timestamp);

/// The last key at or before `frame`, null if there is none.
const FrameList::Key* key_for(const FrameList& list, int64_t frame);

}  // namespace kinema::engine::video
