#pragma once
#include <string>
#include <vector>
#include "engine/train/predict.h"

namespace kinema::tools {

/// Writes `video` again to the .mp4 file `out`, the five likeliest classes of each time drawn into
/// it: turned as players show it, at its own size (less a last odd row or column) and average frame
/// rate, without sound. `out` appears when it is whole or, if interrupted() stops it, not at all;
/// false then. Memory does not grow with the video's length. Shows progress.
/// Errors: a video that cannot be read; a file that cannot be written.
bool write_score_video(const engine::train::Predictor& predictor,
                       const std::vector<std::string>& classes, const std::string& video,
                       double every, const std::string& out);

}  // namespace kinema::tools
