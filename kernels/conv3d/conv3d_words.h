#pragma once
#include <charconv>
#include <string>
#include <vector>
#include "kernels/base/error.h"

// How conv3d_problem.cpp and conv3d_plan_file.cpp read text. Errors say what was expected and
// found.

namespace kinema::kernels {

/// What stands between the characters of `between`.
inline std::vector<std::string> split_at(const std::string& text, const char* between) {
  std::vector<std::string> words;
  for (size_t from = 0, to; from <= text.size(); from = to + 1) {
    to = std::min(text.find_first_of(between, from), text.size());
    words.push_back(text.substr(from, to - from));
  }
  return words;
}

/// The words between blanks.
inline std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words = split_at(text, " \t\r");
  std::erase(words, "");
  return words;
}

/// `whole` is what the Error quotes.
inline int64_t number_from(const std::string& text, int64_t least, const std::string& whole) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check(error == std::errc() && end == text.data() + text.size() && value >= least &&
            value < INT32_MAX,
        "expected whole numbers from ", least, " on, got '", whole, "'");
  return value;
}

/// The one of `count` values, from 0 on, that has the name.
template <class T>
T choice_from(const std::string& name, int count, const char* what) {
  std::string known;
  for (int i = 0; i < count; ++i) {
    if (name == name_of(T(i))) return T(i);
    known += (i ? ", " : "") + std::string(name_of(T(i)));
  }
  fail("expected ", what, " (", known, "), got '", name, "'");
}

/// Calls set(key, value) for every word KEY=VALUE from `first` on.
template <class Set>
void for_pairs(const std::vector<std::string>& words, size_t first, const Set& set) {
  for (size_t i = first; i < words.size(); ++i) {
    const size_t sign = words[i].find('=');
    check(sign != std::string::npos, "expected KEY=VALUE, got '", words[i], "'");
    set(words[i].substr(0, sign), words[i].substr(sign + 1));
  }
}

}  // namespace kinema::kernels
