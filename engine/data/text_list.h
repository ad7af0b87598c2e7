#pragma once
#include <string>
#include <vector>
#include "engine/data/dataset.h"

namespace kinema::engine::video {

/// A line of a list.
struct Line {
  std::string text;
  int64_t number = 0;
  std::string place;  ///< "LIST line 3"
  std::string where;  ///< "data: LIST line 3: ", what every refusal of it begins with
};

/// Lines that hold more than blanks, without byte order mark and line ends.
/// Errors: no such file.
std::vector<Line> read_lines(const std::string& path);

/// The text without blanks at its ends.
std::string trimmed(const std::string& text);

/// The whole number that all of `text` says; -1 where it says none.
int64_t number_of(const std::string& text);

/// Throws Error if videos that `lines` name do not exist; their sample stands at the same place.
void check_files_exist(const std::string& list, const std::vector<Sample>& samples,
                       const std::vector<Line>& lines, const std::string& advice);

}  // namespace kinema::engine::video
