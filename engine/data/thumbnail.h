#pragma once
#include <string>
#include "engine/data/transform.h"

namespace kinema::engine::video {

/// The middle clip of a video, cut as `recipe` says, as the bytes of a looping GIF: at most 12
/// frames that span the whole clip, its longer side `side` pixels. Errors: load_views()'s.
std::string thumbnail(const std::string& path, const Recipe& recipe, int64_t side = 96);

}  // namespace kinema::engine::video
