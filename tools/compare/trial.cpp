#include "tools/compare/trial.h"
#include <charconv>
#include <sstream>

namespace kinema::tools::compare {

using kernels::check;

Trial& Trial::reads(const std::string& operand, const Shape& of, Dtype dtype, double low,
                    double high) {
  operands.push_back({.name = operand, .shape = of, .dtype = dtype, .low = low, .high = high});
  return *this;
}

Trial& Trial::reads(const std::string& operand, const Shape& of, Dtype dtype,
                    std::function<double(int64_t)> value) {
  operands.push_back({.name = operand, .shape = of, .dtype = dtype, .value = std::move(value)});
  return *this;
}

Trial& Trial::writes(const std::string& operand, const Shape& of, Dtype dtype, double bound) {
  operands.push_back({.name = operand,
                      .shape = of,
                      .dtype = dtype,
                      .role = Operand::Role::output,
                      .bound = bound});
  return *this;
}

Trial& Trial::updates(const std::string& operand, const Shape& of, Dtype dtype, double bound,
                      double low, double high) {
  operands.push_back({.name = operand,
                      .shape = of,
                      .dtype = dtype,
                      .role = Operand::Role::updated,
                      .low = low,
                      .high = high,
                      .bound = bound});
  return *this;
}

int64_t Trial::bytes() const {
  int64_t sum = more_bytes;
  for (const Operand& o : operands)
    sum += o.shape.size() * kernels::size_of(o.dtype) * (o.role == Operand::Role::updated ? 2 : 1);
  return sum;
}

double Trial::floor() const {
  return std::max(flop / best_flop(precision), double(bytes()) / best_bytes);
}

namespace {

std::vector<int64_t> numbers_of(const std::string& text, const std::string& where, int64_t least) {
  std::vector<int64_t> numbers;
  for (size_t from = 0, to; from <= text.size(); from = to + 1) {
    to = std::min(text.find(',', from), text.size());
    int64_t n = 0;
    const char* const end = text.data() + to;
    const auto [stop, error] = std::from_chars(text.data() + from, end, n);
    check(error == std::errc() && stop == end && n >= least && n <= INT32_MAX, where,
          " expected whole numbers from ", least, " on with commas between, got '", text, "'");
    numbers.push_back(n);
  }
  return numbers;
}

}  // namespace

Words::Words(const std::string& operation, const std::string& text) : operation_(operation) {
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    const size_t sign = word.find('=');
    check(sign != std::string::npos && sign > 0, operation, ": expected KEY=NUMBERS, got '", word,
          "'");
    const std::string key = word.substr(0, sign);
    check(!has(key), operation, ": ", key, "= stands twice in '", text, "'");
    words_.push_back({key, word.substr(sign + 1)});
  }
}

bool Words::has(const std::string& key) const {
  for (const Word& w : words_)
    if (w.key == key) return true;
  return false;
}

Words::Word* Words::find(const std::string& key) {
  for (Word& w : words_)
    if (w.key == key) {
      w.taken = true;
      return &w;
    }
  return nullptr;
}

Shape Words::shape(const std::string& key, int rank, int64_t least) {
  const Word* w = find(key);
  check(w, operation_, ": a shape by hand needs ", key, "=");
  const std::string where = operation_ + ": " + key + ":";
  const std::vector<int64_t> numbers = numbers_of(w->value, where, least);
  const int count = int(numbers.size());
  check(count == rank || (rank == 0 && count <= kernels::max_rank), where, " expected ",
        rank ? std::to_string(rank) : "1 to 6", " numbers, got '", w->value, "'");
  Shape s;
  for (int64_t n : numbers) s.dim[size_t(s.rank++)] = n;
  return s;
}

std::array<int64_t, 3> Words::triple(const std::string& key,
                                     const std::array<int64_t, 3>& otherwise, int64_t least) {
  if (!has(key)) return otherwise;
  const Shape s = shape(key, 3, least);
  return {s[0], s[1], s[2]};
}

double Words::number(const std::string& key, double otherwise) {
  const Word* w = find(key);
  if (!w) return otherwise;
  double value = 0;
  const char* const end = w->value.data() + w->value.size();
  const auto [stop, error] = std::from_chars(w->value.data(), end, value);
  check(error == std::errc() && stop == end, operation_, ": ", key, ": expected a number, got '",
        w->value, "'");
  return value;
}

bool Words::flag(const std::string& key, bool otherwise) {
  return has(key) ? shape(key, 1)[0] != 0 : otherwise;
}

void Words::done() const {
  for (const Word& w : words_)
    check(w.taken, operation_, ": a shape by hand takes no ", w.key, "=");
}

std::string word_of(const std::string& key, const Shape& s) {
  std::string text = key + "=";
  for (int i = 0; i < s.rank; ++i) text += (i ? "," : "") + std::to_string(s[i]);
  return text;
}

std::string word_of(const std::string& key, const std::array<int64_t, 3>& t,
                    const std::array<int64_t, 3>& usual) {
  return t == usual ? "" : " " + word_of(key, Shape{t[0], t[1], t[2]});
}

}  // namespace kinema::tools::compare
