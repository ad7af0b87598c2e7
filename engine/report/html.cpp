#include "engine/report/html.h"
#include <fmt/format.h>
#include <algorithm>
#include "report_files.h"

namespace kinema::engine::report {

namespace {

/// Bytes of the character that `text` begins with; 0 where it is no valid UTF-8 (RFC 3629: neither
/// overlong, nor a surrogate, nor above U+10FFFF) or a control character.
size_t character(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? unsigned(uint8_t(text[i])) : 0u; };
  const unsigned first = byte(0);
  if (first < 0x80) return (first >= 32 && first != 127) || first == '\n' || first == '\t';
  const size_t length = first >= 0xF5   ? 0
                        : first >= 0xF0 ? 4
                        : first >= 0xE0 ? 3
                        : first >= 0xC2 ? 2
                                        : 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  const unsigned second = byte(1);
  const bool bad = (first == 0xE0 && second < 0xA0) || (first == 0xED && second >= 0xA0) ||
                   (first == 0xF0 && second < 0x90) || (first == 0xF4 && second >= 0x90) ||
                   (first == 0xC2 && second < 0xA0);  // further control characters
  return bad ? 0 : length;
}

}  // namespace

std::string clean(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = character(text);
    out += length ? text.substr(0, length) : "\xEF\xBF\xBD";
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

std::string escape(std::string_view text, size_t most) {
  std::string out;
  size_t count = 0;
  for (const std::string cleaned = clean(text); const char c : cleaned) {
    const bool begins = (uint8_t(c) & 0xC0) != 0x80;
    if (begins && count++ == most) return out + "\xE2\x80\xA6";
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](size_t k) { return i + k < bytes.size() ? uint8_t(bytes[i + k]) : 0u; };
    const unsigned word = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (int shift = 18; shift >= 0; shift -= 6) out += digits[word >> shift & 63];
  }
  for (size_t i = 0; i < (3 - bytes.size() % 3) % 3; ++i) out[out.size() - 1 - i] = '=';
  return out;
}

std::string html_of(const Table& t) {
  const auto kind = [&](size_t column) {
    return column < t.numbers.size() && t.numbers[column] ? " class=\"n\"" : "";
  };
  std::string out = fmt::format(
      "<div class=\"box\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table{1}><caption>{0}"
      "</caption>",
      escape(t.caption), t.sortable ? " class=\"sortable\"" : "");
  if (!t.head.empty()) {
    out += "<thead><tr>";
    for (size_t c = 0; c < t.head.size(); ++c)
      out += fmt::format("<th scope=\"col\"{}>{}</th>", kind(c), escape(t.head[c]));
    out += "</tr></thead>";
  }
  out += "<tbody>\n";
  for (const std::vector<std::string>& row : t.rows) {
    out += "<tr>";
    for (size_t c = 0; c < row.size(); ++c)
      out += c == 0 ? fmt::format("<th scope=\"row\"{}>{}</th>", kind(c), row[c])
                    : fmt::format("<td{}>{}</td>", kind(c), row[c]);
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string section(std::string_view id, std::string_view title, const std::string& body) {
  if (body.empty()) return "";
  return fmt::format(
      "<section id=\"{0}\" aria-labelledby=\"h-{0}\"><h2 id=\"h-{0}\">{1}</h2>\n{2}"
      "</section>\n",
      id, escape(title), body);
}

std::string tile(std::string_view name, const std::string& value, const std::string& note) {
  if (value.empty()) return "";
  return fmt::format("<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>", name, escape(value),
                     escape(note));
}

std::string page(std::string_view title, const std::string& body, std::string_view css,
                 std::string_view script) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
      "<meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"data:,\">"
      "<title>{}</title>\n<style>\n{}{}</style></head>\n<body><main>\n{}</main>\n"
      "<div id=\"tip\" hidden></div>\n<script>\n{}{}</script>\n</body></html>\n",
      escape(title), report_css, css, body, report_js, script);
}

}  // namespace kinema::engine::report
