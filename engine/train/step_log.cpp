#include "engine/train/step_log.h"
#include <fmt/format.h>
#include <charconv>
#include <cmath>
#include <filesystem>
#include "engine/io/csv.h"
#include "engine/io/files.h"

namespace kinema::engine::train {

namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* columns =
    "step,epoch,seconds,learning_rate,loss,gradient_norm,clips_per_second,data_wait,memory";

/// The shortest text that reads back as the same number; an empty field where there is none.
std::string exact(double v) { return std::isfinite(v) ? fmt::format("{}", v) : ""; }

std::string line_of(const LoggedStep& s) {
  const StepMetrics& m = s.metrics;
  return fmt::format("{},{},{:.3f},{},{},{},{:.5g},{:.3g},{}\n", m.step, m.epoch, s.seconds,
                     exact(m.learning_rate), exact(m.loss), exact(m.gradient_norm),
                     m.clips_per_second, m.data_wait, m.memory);
}

double number(const std::string& text, const std::string& where) {
  double value = NAN;
  if (text.empty()) return value;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check(error == std::errc() && stop == text.data() + text.size(), where,
        ": expected a number, got '", text, "'");
  return value;
}

}  // namespace

void read_steps(const std::filesystem::path& path,
                const std::function<void(const LoggedStep&)>& take) {
  std::ifstream in(path, std::ios::binary);
  check(bool(in), "steps: cannot open ", path);
  const std::string name = "steps: \"" + path.string() + "\"";
  std::string head;
  std::getline(in, head);
  check(head == columns, name, ": expected the columns ", columns);
  io::CsvReader lines(in, name);
  for (std::vector<std::string> f; lines.next(f) && lines.ended();) {
    const std::string where = name + ": line " + std::to_string(lines.line() + 1);
    check(f.size() == 9, where, ": expected 9 fields, got ", f.size());
    std::array<double, 9> v{};
    for (size_t i = 0; i < v.size(); ++i) v[i] = number(f[i], where);
    take({.metrics = {.step = int64_t(v[0]),
                      .epoch = int64_t(v[1]),
                      .learning_rate = v[3],
                      .loss = v[4],
                      .gradient_norm = v[5],
                      .clips_per_second = v[6],
                      .data_wait = v[7],
                      .memory = int64_t(v[8])},
          .seconds = v[2]});
  }
}

StepLog::StepLog(const std::filesystem::path& path, int64_t done) : path_(path) {
  double seconds = 0;
  const bool goes_on = done > 0 && std::filesystem::exists(path);
  io::write_whole(path, [&](std::ostream& out) {
    out << columns << '\n';
    if (!goes_on) return;
    read_steps(path, [&](const LoggedStep& s) {
      if (s.metrics.step > done) return;
      out << line_of(s);
      seconds = s.seconds;
    });
  });
  out_.open(path, std::ios::binary | std::ios::app);
  check(bool(out_), "steps: cannot write ", path);
  began_ = Clock::now() -
           std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

void StepLog::after_step(const StepMetrics& step) {
  if (!out_) return;
  const double seconds = std::chrono::duration<double>(Clock::now() - began_).count();
  out_ << line_of({step, seconds}) << std::flush;
  check(bool(out_), "steps: cannot write ", path_, "; the disk may be full");
}

}  // namespace kinema::engine::train
