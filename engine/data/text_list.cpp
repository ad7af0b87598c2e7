#include "engine/data/text_list.h"
#include <charconv>
#include <filesystem>
#include <fstream>
#include "engine/io/text.h"
#include "kernels/base/error.h"

namespace kinema::engine::video {

namespace fs = std::filesystem;
using kernels::check;

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r") + 1 - begin);
}

int64_t number_of(const std::string& text) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 0 ? value : -1;
}

std::vector<Line> read_lines(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::error_code failed;
  check(bool(in) && !fs::is_directory(path, failed), "data: cannot open the list ", path);
  std::vector<Line> lines;
  int64_t number = 0;
  for (std::string text; std::getline(in, text);) {
    if (++number == 1 && text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
    const std::string place = path + " line " + std::to_string(number);
    check(io::is_text(text), "data: ", place, ": this is no UTF-8 text; save the list as UTF-8");
    if (!trimmed(text).empty())
      lines.push_back({trimmed(text), number, place, "data: " + place + ": "});
  }
  check(!in.bad(), "data: cannot read ", path, " to its end");
  return lines;
}

void check_files_exist(const std::string& list, const std::vector<Sample>& samples,
                       const std::vector<Line>& lines, const std::string& advice) {
  int64_t missing = 0;
  std::string first;
  std::error_code failed;
  for (size_t i = 0; i < samples.size(); ++i) {
    if (fs::exists(samples[i].path, failed)) continue;
    if (++missing <= 3)
      first += (first.empty() ? "" : ", ") + samples[i].path + " (" + lines[i].place + ")";
  }
  check(missing == 0, "data: ", missing, " of ", samples.size(), " videos of ", list,
        missing == 1 ? " does not exist: " : " do not exist: ", first, missing > 3 ? ", ..." : "",
        "; ", advice);
}

}  // namespace kinema::engine::video
