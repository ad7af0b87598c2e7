#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include "kernels/base/error.h"
#include "tests/support/golden.h"

namespace kinema::test {

namespace {

using kernels::check;
using nlohmann::ordered_json;

constexpr int format = 1;

float number(int64_t bits) { return std::bit_cast<float>(uint32_t(bits)); }

/// The first place where the values differ by more than they may; -1: none.
int64_t first_difference(const Golden& ours, const Golden& file) {
  double most = 0;
  for (const int64_t v : file.values) most = std::max(most, std::abs(double(number(v))));
  for (size_t i = 0; i < ours.values.size(); ++i) {
    const int64_t a = ours.values[i], b = file.values[i];
    if (a == b) continue;
    if (ours.near == 0 || !(std::abs(double(number(a)) - number(b)) <= ours.near * most))
      return int64_t(i);
  }
  return -1;
}

}  // namespace

std::string runs_of(const std::vector<int64_t>& values) {
  std::string text;
  for (size_t i = 0; i < values.size();) {
    size_t end = i + 1;
    const int64_t step = end < values.size() ? values[end] - values[i] : 0;
    while (end < values.size() && values[end] - values[end - 1] == step) ++end;
    // Two values make a run only where they are equal: a step would be longer than they are.
    if (end - i == 2 && step != 0) --end;
    text += (i ? " " : "") + std::to_string(values[i]);
    if (end - i > 1) {
      if (step != 0) text += (step > 0 ? "+" : "-") + std::to_string(std::abs(step));
      text += "*" + std::to_string(end - i);
    }
    i = end;
  }
  return text;
}

namespace {

struct Run {
  int64_t first = 0, step = 0, count = 1;
};

/// "7", "7*3" (7 7 7), "7+2*3" (7 9 11).
Run run_of(const std::string& word) {
  Run run;
  const char *at = word.data(), *const end = at + word.size();
  const auto number = [&](int64_t& to) {
    const auto [behind, wrong] = std::from_chars(at, end, to);
    at = behind;
    return wrong == std::errc();
  };
  bool good = number(run.first);
  if (good && at != end) {
    if (*at == '+') good = ++at != end && *at != '-';  // from_chars takes no plus
    if (*at != '*') good = good && number(run.step);
    good = good && at != end && *at++ == '*' && number(run.count);
  }
  check(good && at == end && run.count > 0, "golden: expected a run of values, got ", word);
  return run;
}

}  // namespace

std::vector<int64_t> values_of(const std::string& runs) {
  std::vector<int64_t> values;
  std::istringstream in(runs);
  for (std::string word; in >> word;) {
    const Run run = run_of(word);
    for (int64_t i = 0; i < run.count; ++i) values.push_back(run.first + i * run.step);
  }
  return values;
}

std::string text_of(const GoldenFile& file) {
  std::string text = "{\n \"format\": " + std::to_string(format) +
                     ",\n \"gpu\": " + ordered_json(file.gpu).dump() +
                     ",\n \"compute_capability\": " + std::to_string(file.compute_capability) +
                     ",\n \"properties\": " + ordered_json::parse(file.properties).dump() +
                     ",\n \"goldens\": {";
  const char* between = "\n";
  for (const Golden& g : file.goldens) {
    text += between + ("  " + ordered_json(g.name).dump()) + ": \"" + runs_of(g.values) + "\"";
    between = ",\n";
  }
  return text + "\n }\n}\n";
}

GoldenFile read_goldens(const std::filesystem::path& path) {
  std::ifstream in(path);
  check(in.good(), "golden: cannot read ", path.string());
  try {
    const ordered_json j = ordered_json::parse(in);
    check(j.at("format") == format, "golden: expected format ", format, " in ", path.string());
    GoldenFile file{j.at("gpu"), j.at("compute_capability"), j.at("properties").dump()};
    for (const auto& [name, runs] : j.at("goldens").items())
      file.goldens.push_back({name, values_of(runs)});
    return file;
  } catch (const nlohmann::json::exception& e) {
    kernels::fail("golden: ", path.string(), " is no file of goldens: ", e.what());
  }
}

std::vector<std::string> differences(const std::vector<Golden>& ours,
                                     const std::vector<Golden>& file) {
  std::vector<std::string> all;
  for (const Golden& wanted : file) {
    const auto mine = std::find_if(ours.begin(), ours.end(),
                                   [&](const Golden& g) { return g.name == wanted.name; });
    if (mine == ours.end()) {
      all.push_back(wanted.name + ": nothing here makes it any more");
    } else if (mine->values.size() != wanted.values.size()) {
      all.push_back(wanted.name + ": " + std::to_string(mine->values.size()) + " values, " +
                    std::to_string(wanted.values.size()) + " in the file");
    } else if (const int64_t at = first_difference(*mine, wanted); at >= 0) {
      all.push_back(wanted.name + ": value " + std::to_string(at) + " is " +
                    std::to_string(mine->values[size_t(at)]) + ", " +
                    std::to_string(wanted.values[size_t(at)]) + " in the file");
    }
  }
  return all;
}

}  // namespace kinema::test
