#include "engine/io/text.h"
#include <algorithm>
#include <cstdint>

namespace kinema::engine::io {

bool is_text(std::string_view text) {
  const auto byte = [&](size_t at) { return at < text.size() ? uint8_t(text[at]) : 0u; };
  for (size_t i = 0; i < text.size();) {
    const unsigned first = byte(i), second = byte(i + 1);
    const size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first == 0 || (first >= 0x80 && first < 0xc2) || first > 0xf4) return false;
    for (size_t k = 1; k < length; ++k)
      if ((byte(i + k) & 0xc0) != 0x80) return false;
    // No longer form than needed, no surrogates, nothing above U+10FFFF.
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
      return false;
    i += length;
  }
  return true;
}

int edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = int(i);
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = int(j);
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t j = 1; j <= b.size(); ++j) {
      const int differs = a[i - 1] != b[j - 1];
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + differs});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

std::string nearest(std::string_view name, const std::vector<std::string>& names) {
  std::string best;
  int least = std::max(2, int(name.size()) / 3) + 1;
  for (const std::string& candidate : names) {
    const size_t shorter = std::min(name.size(), candidate.size());
    const bool begins = shorter > 2 && name.substr(0, shorter) == candidate.substr(0, shorter);
    const int distance = begins ? 1 : edit_distance(name, candidate);
    if (distance < least && distance < int(candidate.size())) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

std::string suggestion(std::string_view name, const std::vector<std::string>& names) {
  const std::string near = nearest(name, names);
  if (!near.empty()) return "; did you mean '" + near + "'?";
  std::string known;
  for (const std::string& n : names) known += (known.empty() ? "; known: '" : ", '") + n + "'";
  return known;
}

}  // namespace kinema::engine::io
