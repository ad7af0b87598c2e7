#include "kernels/conv3d/conv3d_suite.h"
#include <charconv>
#include <fstream>

namespace kinema::kernels {

namespace {

/// The fields of one line, taken from the left.
class Fields {
 public:
  Fields(const std::string& line, const std::string& where) : where_(where) {
    for (size_t from = 0, to; from <= line.size(); from = to + 1) {
      to = std::min(line.find(',', from), line.size());
      fields_.push_back(line.substr(from, to - from));
    }
    check(fields_.size() == count, where_, ": expected ", count, " fields, got ", fields_.size());
  }
  std::string text() { return fields_[next_++]; }
  template <class T = int64_t>
  T number() {
    const std::string field = text();
    T value{};
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    check(error == std::errc() && end == field.data() + field.size(), where_, ": field ", next_,
          ": expected a number, got '", field, "'");
    return value;
  }
  std::array<int64_t, 3> triple() {
    const int64_t t = number(), h = number(), w = number();
    return {t, h, w};
  }

 private:
  static constexpr size_t count = 26;
  std::string where_;
  std::vector<std::string> fields_;
  size_t next_ = 0;
};

Conv3dSuiteRow row_of(Fields f) {
  Conv3dSuiteRow row{.id = f.number<int>(), .model = f.text(), .layer = f.text()};
  const int64_t n = f.number(), c = f.number();
  const auto [t, h, w] = f.triple();
  const int64_t k = f.number();
  const auto [kt, kh, kw] = f.triple();
  row.options.stride = f.triple();
  row.options.pad_front = f.triple();
  row.options.pad_back = f.triple();
  const int64_t groups = row.options.groups = f.number();
  check(groups > 0, "conv3d suite: expected groups above 0, got ", groups);
  row.x = {n, t, h, w, c};
  row.w = {k, kt, kh, kw, c / groups};
  row.headline = f.number() != 0;
  for (double& floor : row.floor_us) floor = f.number<double>();
  return row;
}

}  // namespace

std::vector<Conv3dSuiteRow> read_conv3d_suite(const std::string& path) {
  std::ifstream file(path);
  check(bool(file), "conv3d suite: cannot read ", path);
  std::vector<Conv3dSuiteRow> rows;
  std::string line;
  std::getline(file, line);  // names of the columns
  for (int number = 2; std::getline(file, line); ++number)
    rows.push_back(row_of(Fields(line, path + ":" + std::to_string(number))));
  return rows;
}

}  // namespace kinema::kernels
