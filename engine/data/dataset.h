#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace kinema::engine::video {

/// One video and its classes.
struct Sample {
  std::string path;  ///< a video file, or a folder of frames (see frame_folder.h)
  int64_t label = 0;
  /// In a multi-label set all its classes, ascending, of which `label` is the first; else empty.
  std::vector<int64_t> labels = {};
  bool operator==(const Sample&) const = default;
};

/// Labelled videos: `label` counts `classes`.
struct Dataset {
  std::vector<std::string> classes;
  std::vector<Sample> samples;
  bool multi_label = false;  ///< a video may show several classes at once
  std::string root = {};     ///< the folder that name_of() counts from
};

/// The path of a sample as seen from the root of its data set: what stays when the data moves.
std::string name_of(const Dataset& set, const Sample& sample);

/// 16 hexadecimal digits from the classes and each sample's name and labels, in their order: equal
/// for the same list of data wherever it lies. The files' content does not enter.
std::string digest(const Dataset& set);

/// True for the file names that scan_folder takes: .mp4 .avi .mkv .mov .webm .m4v .mpg .mpeg .wmv
/// .flv .3gp .ts .ogv .gif in any case, names that start with a dot excepted.
bool is_video_name(const std::string& path);

/// ROOT/CLASS/FILE, or ROOT/CLASS/CLIP/FRAME.jpg (.jpeg, .png) for videos as folders of frames:
/// classes by name, videos by name within their class (byte order). Files of other kinds, and
/// entries whose name starts with a dot, are passed over.
/// Errors: no such folder; no class folders in it; a class without videos.
Dataset scan_folder(const std::string& root);

/// `set` with its labels counted by `classes`, which may hold more than the set shows; `source`
/// names the set and `known` the classes for the text of the Error: a class that is not among them.
Dataset with_classes(Dataset set, const std::vector<std::string>& classes,
                     const std::string& source, const std::string& known);

/// Two parts with the same classes.
struct Split {
  Dataset train, held_out;
};

/// Holds out `fraction` of each class, rounded, at random by `seed` alone; order is kept. A
/// multi-label sample counts for its first class.
/// Errors: fraction not in [0, 1].
Split split(const Dataset& all, double fraction, uint64_t seed);

/// What a person should hear before a training on `train`, evaluated on `held_out`: classes
/// without a video or with a single one to train on, or with none to evaluate on. One sentence
/// each; none where all is well.
std::vector<std::string> remarks(const Dataset& train, const Dataset& held_out);

}  // namespace kinema::engine::video
