#include "engine/io/csv.h"
#include "kernels/base/error.h"

namespace kinema::engine::io {

using kernels::check;

namespace {
constexpr int end_of_file = std::istream::traits_type::eof();
}

std::string csv_field(std::string_view text) {
  const bool spaced = !text.empty() && (text.front() == ' ' || text.back() == ' ');
  if (!spaced && text.find_first_of(",\"\r\n") == text.npos) return std::string(text);
  std::string quoted = "\"";
  for (char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

CsvReader::CsvReader(std::istream& in, std::string name) : in_(in), name_(std::move(name)) {
  constexpr std::string_view mark = "\xEF\xBB\xBF";
  if (in_.peek() != uint8_t(mark[0])) return;
  for (size_t i = 0; i < mark.size() && in_.peek() == uint8_t(mark[i]); ++i) in_.get();
}

/// The next byte, \r\n as \n.
int CsvReader::take() {
  int c = in_.get();
  if (c == '\r' && in_.peek() == '\n') c = in_.get();
  breaks_ += c == '\n';
  return c;
}

/// The rest of a field whose opening quote is read.
void CsvReader::quoted(std::string& field) {
  for (;;) {
    const int c = take();
    check(c != end_of_file, name_, ": line ", line_, ": a quote is not closed");
    if (c == '"' && in_.peek() != '"') return;
    if (c == '"') in_.get();
    field += char(c);
  }
}

bool CsvReader::next(std::vector<std::string>& fields) {
  while (in_.peek() == '\n' || in_.peek() == '\r') take();
  fields.clear();
  if (in_.peek() == end_of_file) return false;
  line_ = breaks_ + 1;
  fields.emplace_back();
  bool closed = false;
  for (int c = take();; c = take()) {
    ended_ = c == '\n';
    if (ended_ || c == end_of_file) return true;
    if (c == ',') {
      fields.emplace_back();
      closed = false;
    } else if (c == '"' && fields.back().empty() && !closed) {
      quoted(fields.back());
      closed = true;
    } else {
      check(!closed, name_, ": line ", line_, ": text behind a closing quote");
      fields.back() += char(c);
    }
  }
}

}  // namespace kinema::engine::io
