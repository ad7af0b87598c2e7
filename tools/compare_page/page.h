#pragma once
#include <string>
#include "tools/compare/row.h"

namespace kinema::tools::compare_page {

/// A comparison as one HTML file that needs no other and no network: the hardware's roofline with a
/// mark a row, filters, and a table of all rows that sorts. Where nothing was measured it says so,
/// and marks stand where each row's limit is.
std::string page_of(const compare::Comparison&);

}  // namespace kinema::tools::compare_page
