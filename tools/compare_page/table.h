#pragma once
#include <nlohmann/json.hpp>
#include <ostream>
#include "tools/compare/row.h"

namespace kinema::tools::compare_page {

using compare::Row;

/// The line above a table of rows.
std::string table_head();
/// One line: what, whether it is right, how far off, how fast; and one more for a note or a plan.
std::string table_line(const Row&);
/// How many rows are right, and the geometric mean of the ratios to cuDNN.
std::string table_foot(const std::vector<Row>&);

/// A list of rows. What is not known, infinities too, is null; `ok` is null where a backend
/// refuses.
nlohmann::json json_of(const std::vector<Row>&);
/// The same by RFC 4180, what is not known being empty.
void write_csv(std::ostream&, const std::vector<Row>&);

}  // namespace kinema::tools::compare_page
