#pragma once
#include <string>
#include "engine/report/run_data.h"

namespace kinema::engine::report {

/// report.html as a whole: one file that needs no other and no network. Worst and best clips are
/// shown as moving thumbnails, read from the videos; one that cannot be read says so. Its size is
/// bounded whatever the run's length: curves have at most 2000 points, there are at most 24
/// thumbnails, and lists are cut.
std::string page_of(const RunData& run);

/// Reads the run in `folder` and replaces its report.html. Errors: no run folder; a full disk.
void write_report(const std::filesystem::path& folder);

}  // namespace kinema::engine::report
