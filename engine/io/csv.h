#pragma once
#include <cstdint>
#include <istream>
#include <string>
#include <string_view>
#include <vector>

namespace kinema::engine::io {

/// One field of a CSV line: in quotes, doubled inside, where it holds a comma, a quote, a line
/// break, or a space at its ends. Source: RFC 4180, section 2.
std::string csv_field(std::string_view text);

/// Reads CSV by RFC 4180: fields in quotes may hold commas, line breaks and doubled quotes; lines
/// end in \n or \r\n; a byte order mark at the beginning and empty lines are passed over.
class CsvReader {
 public:
  /// `name` is what errors call the text. `in` must outlive the reader.
  CsvReader(std::istream& in, std::string name);

  /// The fields of the next line; false at the end.
  /// Errors: a quote that is not closed; text behind a closing quote. Both name the line.
  bool next(std::vector<std::string>& fields);

  /// The number, from 1, of the line that the last next() began at.
  int64_t line() const { return line_; }
  /// Whether that line had a line break at its end: a file cut short by a crash lacks the last.
  bool ended() const { return ended_; }

 private:
  int take();
  void quoted(std::string& field);

  std::istream& in_;
  std::string name_;
  int64_t line_ = 0, breaks_ = 0;
  bool ended_ = false;
};

}  // namespace kinema::engine::io
