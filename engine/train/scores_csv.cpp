#include "engine/train/scores_csv.h"
#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include "engine/io/csv.h"
#include "engine/io/files.h"

namespace kinema::engine::train {

namespace {

constexpr std::string_view columns = "path,label,predicted,correct,rank,loss,probability";
constexpr size_t column_count = 7;

/// An empty field where there is no number.
std::string field(double v) { return std::isfinite(v) ? fmt::format("{:.8g}", v) : ""; }

std::string line_of(const Score& s) {
  return fmt::format("{},{},{},{},{},{},{}", io::csv_field(s.path), io::csv_field(s.label),
                     io::csv_field(s.predicted), int(s.correct()), s.rank, field(s.loss),
                     field(s.probability));
}

template <class T>
T number(const std::string& text, const std::string& where) {
  T value{};
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check(error == std::errc() && stop == text.data() + text.size(), where,
        ": expected a number, got '", text, "'");
  return value;
}

}  // namespace

std::vector<Score> scores_of(const Evaluation& evaluation, const video::Dataset& data) {
  std::vector<Score> scores;
  for (const Answer& a : evaluation.answers) {
    const video::Sample& sample = data.samples[size_t(a.sample)];
    const std::vector<double>& p = a.probabilities;
    const std::vector<int64_t> order = highest(p, int64_t(p.size()));
    const std::vector<int64_t> labels =
        data.multi_label ? sample.labels : std::vector{sample.label};
    const auto at = std::find_first_of(order.begin(), order.end(), labels.begin(), labels.end());
    std::string names;
    for (int64_t l : labels) names += (names.empty() ? "" : ";") + data.classes[size_t(l)];
    const bool broken = std::any_of(p.begin(), p.end(), [](double v) { return std::isnan(v); });
    // Metrics counts scores that hold NaN as wrong: behind all others here.
    const int64_t rank = broken ? int64_t(p.size()) + 1 : at - order.begin() + 1;
    scores.push_back({.path = sample.path,
                      .label = names,
                      .predicted = data.classes[size_t(order[0])],
                      .probability = p[size_t(order[0])],
                      .rank = rank,
                      .loss = loss_of_answer(p, sample)});
  }
  return scores;
}

void write_scores(const std::filesystem::path& path, const Evaluation& evaluation,
                  const video::Dataset& data, bool classes) {
  const std::vector<Score> scores = scores_of(evaluation, data);
  io::write_whole(path, [&](std::ostream& out) {
    out << columns;
    for (size_t c = 0; classes && c < data.classes.size(); ++c)
      out << ',' << io::csv_field(data.classes[c]);
    out << '\n';
    for (size_t i = 0; i < scores.size(); ++i) {
      out << line_of(scores[i]);
      if (classes)
        for (double p : evaluation.answers[i].probabilities) out << ',' << field(p);
      out << '\n';
    }
  });
}

std::vector<Score> read_scores(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  check(bool(in), "scores: cannot open ", path);
  const std::string name = "scores: \"" + path.string() + "\"";
  io::CsvReader lines(in, name);
  std::vector<std::string> f;
  std::string head;
  if (lines.next(f))
    for (size_t i = 0; i < std::min(f.size(), column_count); ++i) head += (i ? "," : "") + f[i];
  check(head == columns, name, ": expected the columns ", columns);
  std::vector<Score> scores;
  for (const size_t width = f.size(); lines.next(f);) {
    const std::string where = name + ": line " + std::to_string(lines.line());
    check(f.size() == width, where, ": expected ", width, " fields, got ", f.size());
    scores.push_back({.path = f[0],
                      .label = f[1],
                      .predicted = f[2],
                      .probability = f[6].empty() ? NAN : number<double>(f[6], where),
                      .rank = number<int64_t>(f[4], where),
                      .loss = f[5].empty() ? NAN : number<double>(f[5], where)});
  }
  return scores;
}

}  // namespace kinema::engine::train
