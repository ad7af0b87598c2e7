#pragma once
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace kinema::engine::train {

/// Bytes of memory that this process holds now (Linux: its resident set; elsewhere its tensors). Of
/// one that uses a GPU, the most that its tensors there have held: between steps they are gone.
int64_t memory_held();

/// 75.4 as "1:15", 3700 as "1:01:40".
std::string clock_text(double seconds);

/// One line on stderr that keeps changing. Where stderr is no terminal, plain lines instead, at
/// most one in `plain_interval` seconds.
class ProgressLine {
 public:
  explicit ProgressLine(bool quiet = false, double plain_interval = 5);
  /// Ends the line.
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// True if it is time for another show(): making a text costs more than asking.
  bool due() const;
  /// Shows `text` in place of what was shown.
  void show(const std::string& text);
  /// Shows `text` as a line that stays.
  void keep(const std::string& text);
  /// Ends the line, so that other output may follow.
  void end();

 private:
  using Clock = std::chrono::steady_clock;
  bool quiet_, terminal_, open_ = false;
  double interval_;
  Clock::time_point last_;
};

}  // namespace kinema::engine::train
