#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace kinema::engine::video {

/// One video file and its class.
struct Sample {
  std::string path;
  int64_t label = 0;
  bool operator==(const Sample&) const = default;
};

/// Labelled videos: `label` counts `classes`.
struct Dataset {
  std::vector<std::string> classes;
  std::vector<Sample> samples;
};

/// True for the file names that scan_folder takes: .mp4 .avi .mkv .mov .webm .m4v .mpg .mpeg .wmv
/// .flv .3gp .ts .ogv .gif in any case, names that start with a dot excepted.
bool is_video_name(const std::string& path);

/// ROOT/CLASS/FILE: classes by name, files by name within their class (byte order). Files of other
/// kinds and folders without any entry that starts with a dot are passed over.
/// Errors: no such folder; no class folders in it; a class without videos.
Dataset scan_folder(const std::string& root);

/// Two parts with the same classes.
struct Split {
  Dataset train, held_out;
};

/// Holds out `fraction` of each class, rounded, at random by `seed` alone; order is kept.
/// Errors: fraction not in [0, 1].
Split split(const Dataset& all, double fraction, uint64_t seed);

}  // namespace kinema::engine::video
