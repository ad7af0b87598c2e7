#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace kinema::engine::report {

/// `text` as valid UTF-8: bytes that are none, and control characters but for the tab and line
/// break, become U+FFFD.
std::string clean(std::string_view text);

/// clean() text for HTML, inside of elements and of attributes in double quotes; beyond `most`
/// characters it is cut and ends in an ellipsis.
std::string escape(std::string_view text, size_t most = 400);

/// Base64. Source: RFC 4648, section 4.
std::string base64(std::string_view bytes);

/// A table in a box that scrolls by itself. Cells are HTML already; `numbers` says which columns
/// hold numbers: they stand to the right and sort by value.
struct Table {
  std::string caption;  ///< plain text, for people who do not see the page
  std::vector<std::string> head = {};
  std::vector<std::vector<std::string>> rows = {};
  std::vector<bool> numbers = {};
  bool sortable = false;  ///< by report.js; what is empty stays behind
};
std::string html_of(const Table& table);

/// A part of the page under a heading; nothing where `body` is empty.
std::string section(std::string_view id, std::string_view title, const std::string& body);

/// One headline figure of a list <dl class="tiles">; nothing where there is no value.
std::string tile(std::string_view name, const std::string& value, const std::string& note = "");

/// A whole page: the style of reports and then `css`, the script of reports and then `script`. One
/// file that needs no other and no network; light or dark as the reader's system is.
std::string page(std::string_view title, const std::string& body, std::string_view css = "",
                 std::string_view script = "");

}  // namespace kinema::engine::report
