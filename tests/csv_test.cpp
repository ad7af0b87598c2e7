#include "engine/io/csv.h"
#include <gtest/gtest.h>
#include <sstream>
#include "tests/support/check.h"

namespace kinema::test {
namespace {

using engine::io::csv_field, engine::io::CsvReader;
using Row = std::vector<std::string>;

std::vector<Row> read(const std::string& text) {
  std::istringstream in(text);
  CsvReader reader(in, "list");
  std::vector<Row> rows;
  for (Row row; reader.next(row);) rows.push_back(row);
  return rows;
}

TEST(Csv, FieldsAreQuotedWhereTheyMustBe) {
  EXPECT_EQ(csv_field("plain text"), "plain text");
  EXPECT_EQ(csv_field(""), "");
  EXPECT_EQ(csv_field("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_field("say \"x\""), "\"say \"\"x\"\"\"");
  EXPECT_EQ(csv_field("two\nlines"), "\"two\nlines\"");
  EXPECT_EQ(csv_field(" x"), "\" x\"");
}

TEST(Csv, WhatIsWrittenIsReadBack) {
  const Row row = {"", "a,b", "\"", "\"\"x\"", "line\nline", " ", "caf\xC3\xA9", "\xFF<&>"};
  std::string line;
  for (const std::string& f : row) line += (line.empty() ? "x," : ",") + csv_field(f);
  Row expected = row;
  expected.insert(expected.begin(), "x");
  EXPECT_EQ(read(line), std::vector<Row>{expected});
}

TEST(Csv, LineEndsMarksAndEmptyLines) {
  const std::vector<Row> expected = {{"a", "b"}, {"c", ""}};
  EXPECT_EQ(read("a,b\nc,\n"), expected);
  EXPECT_EQ(read("\xEF\xBB\xBF\n\r\na,b\r\n\r\n\"c\",\"\""), expected);
  EXPECT_EQ(read(""), std::vector<Row>{});
}

TEST(Csv, LinesAreNumberedAndACutOneIsSeen) {
  std::istringstream in("a\n\n\"b\nb\"\nc");
  CsvReader reader(in, "list");
  std::vector<int64_t> lines;
  std::vector<bool> ended;
  for (Row row; reader.next(row);) {
    lines.push_back(reader.line());
    ended.push_back(reader.ended());
  }
  EXPECT_EQ(lines, (std::vector<int64_t>{1, 3, 5}));
  EXPECT_EQ(ended, (std::vector<bool>{true, true, false}));
}

TEST(Csv, Refusals) {
  EXPECT_EQ(refusal([] { read("a\n\"b,c\nd\n"); }), "list: line 2: a quote is not closed");
  EXPECT_EQ(refusal([] { read("a\nb\n\"c\" d\n"); }), "list: line 3: text behind a closing quote");
}

}  // namespace
}  // namespace kinema::test
