#include "engine/data/skipped.h"
#include <fmt/format.h>
#include <ostream>
#include "engine/io/files.h"
#include "kernels/base/error.h"

namespace kinema::engine::video {

namespace {

/// How many files a refusal names itself.
constexpr size_t named = 10;

/// A CSV field in double quotes, on one line.
std::string quoted(const std::string& text) {
  std::string field = "\"";
  for (char c : text) field += c == '"' ? "\"\"" : std::string(1, c == '\n' || c == '\r' ? ' ' : c);
  return field + '"';
}

/// The reason with the path, which most name themselves.
std::string said(const SkippedFile& f) {
  return f.reason.find(f.path) != std::string::npos ? f.reason : f.path + ": " + f.reason;
}

}  // namespace

SkippedFiles::SkippedFiles(Warn warn, std::filesystem::path csv)
    : warn_(std::move(warn)), csv_(std::move(csv)) {}

void SkippedFiles::add(const std::vector<SkippedFile>& found, int64_t left_out, int64_t samples) {
  const bool first_of_all = files_.empty();
  const size_t before = files_.size();
  for (const SkippedFile& f : found)
    if (known_.insert(f.path).second) files_.push_back(f);
  if (double(left_out) > most * double(samples)) refuse(left_out, samples);
  if (files_.size() == before) return;
  write();
  if (csv_.empty()) {
    for (size_t i = before; i < files_.size(); ++i) warn_("left out: " + said(files_[i]));
  } else if (first_of_all) {
    warn_(fmt::format("{} of {} videos cannot be read and {} left out, the first: {}; {} lists all",
                      left_out, samples, left_out == 1 ? "is" : "are", said(files_[0]),
                      csv_.string()));
  }
}

void SkippedFiles::write() const {
  std::error_code failed;
  if (csv_.empty() || files_.empty()) return;
  if (!std::filesystem::is_directory(std::filesystem::absolute(csv_).parent_path(), failed)) return;
  io::write_whole(csv_, [&](std::ostream& out) {
    out << "file,reason\n";
    for (const SkippedFile& f : files_) out << quoted(f.path) << ',' << quoted(f.reason) << '\n';
  });
}

void SkippedFiles::refuse(int64_t left_out, int64_t samples) const {
  std::string list;
  for (size_t i = 0; i < files_.size() && i < named; ++i) list += (i ? "; " : "") + said(files_[i]);
  if (files_.size() > named && csv_.empty()) list += "; ...";
  if (files_.size() > named && !csv_.empty()) {
    std::error_code
        failed;  // where the folder cannot be made, write() says nothing and neither do we
    std::filesystem::create_directories(std::filesystem::absolute(csv_).parent_path(), failed);
    write();
    list += "; " + csv_.string() + " lists all";
  }
  kernels::fail("data: ", left_out, " of ", samples,
                " videos cannot be read, more than 1 in 20: ", list);
}

}  // namespace kinema::engine::video
