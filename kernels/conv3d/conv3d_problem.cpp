#include "kernels/conv3d/conv3d_problem.h"
#include <tuple>
#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/conv3d_words.h"

namespace kinema::kernels {

namespace {

std::vector<int64_t> numbers_from(const std::string& text, size_t count, int64_t least) {
  std::vector<int64_t> numbers;
  for (const std::string& word : split_at(text, ","))
    numbers.push_back(number_from(word, least, text));
  check(numbers.size() == count, "expected ", count, " numbers, got '", text, "'");
  return numbers;
}

Shape shape_from(const std::string& text) {
  const std::vector<int64_t> n = numbers_from(text, 5, 0);
  return {n[0], n[1], n[2], n[3], n[4]};
}

std::array<int64_t, 3> triple_from(const std::string& text, int64_t least) {
  const std::vector<int64_t> n = numbers_from(text, 3, least);
  return {n[0], n[1], n[2]};
}

void set_type(const std::string& name, Conv3dProblem& p) {
  p.options.tf32 = name == "tf32";
  const std::string base = p.options.tf32 ? "f32" : name;
  for (const Dtype d : {Dtype::f32, Dtype::bf16, Dtype::f16}) {
    p.dtype = d;
    if (base == name_of(d)) return;
  }
  fail("expected a type (f32, tf32, bf16, f16), got '", name, "'");
}

void set_option(const std::string& key, const std::string& value, Conv3dProblem& p) {
  Conv3dOptions& o = p.options;
  if (key == "stride") {
    o.stride = triple_from(value, 1);
  } else if (key == "dilation") {
    o.dilation = triple_from(value, 1);
  } else if (key == "pad") {
    o.pad_front = o.pad_back = triple_from(value, 0);
  } else if (key == "pad_back") {
    o.pad_back = triple_from(value, 0);
  } else if (key == "groups") {
    o.groups = number_from(value, 1, value);
  } else if (key == "type") {
    set_type(value, p);
  } else {
    fail("expected stride=, dilation=, pad=, pad_back=, groups= or type=, got '", key, "'");
  }
}

bool rounds_factors(const Conv3dProblem& p) { return p.options.tf32 && p.dtype == Dtype::f32; }

/// Whether all rows of a fresh tensor lie on multiples of 16 bytes.
bool rows_aligned(Dtype dtype, const Shape& shape) {
  const View v = fresh_layout(dtype, shape);
  for (int a = 0; a + 1 < shape.rank; ++a)
    if (shape[a] > 1 && v.stride(a) * size_of(dtype) % 16 != 0) return false;
  return true;
}

void print(std::ostream& out, const char* name, const std::array<int64_t, 3>& t, int64_t usual) {
  if (t != std::array{usual, usual, usual})
    out << ' ' << name << '=' << t[0] << ',' << t[1] << ',' << t[2];
}

void print(std::ostream& out, const Shape& s) {
  for (int i = 0; i < s.rank; ++i) out << (i ? ',' : ' ') << s[i];
}

}  // namespace

Conv3dProblem conv3d_fresh_problem(Conv3dPass pass, const Conv3dOptions& o, const Shape& x,
                                   const Shape& w, Dtype dtype) {
  const Shape y = conv3d_output(o, x, w);
  const bool reads_y = pass != Conv3dPass::forward;
  const bool reads_x = pass != Conv3dPass::grad_input, reads_w = pass != Conv3dPass::grad_weight;
  return {.pass = pass,
          .options = o,
          .x = x,
          .w = w,
          .dtype = dtype,
          .aligned = (!reads_x || rows_aligned(dtype, x)) && (!reads_w || rows_aligned(dtype, w)) &&
                     (!reads_y || rows_aligned(dtype, y)),
          .frames = x[4] <= 4 && w[4] == x[4]};
}

bool same_layer(const Conv3dProblem& a, const Conv3dProblem& b) {
  const auto key = [](const Conv3dProblem& p) {
    const Conv3dOptions& o = p.options;
    return std::tie(p.x.dim, p.w.dim, o.stride, o.dilation, o.pad_front, o.pad_back, o.groups);
  };
  return a.pass == b.pass && a.dtype == b.dtype && rounds_factors(a) == rounds_factors(b) &&
         key(a) == key(b);
}

Conv3dProblem conv3d_problem_from(const std::string& text) {
  const std::vector<std::string> words = words_of(text);
  check(words.size() >= 3, "expected PASS X W and options, got '", text, "'");
  Conv3dProblem p{.pass = choice_from<Conv3dPass>(words[0], 3, "a pass"),
                  .x = shape_from(words[1]),
                  .w = shape_from(words[2]),
                  .dtype = Dtype::bf16};
  // pad= sets what pad_back= may then change, in whatever order they stand.
  const auto option = [&](bool late) {
    for_pairs(words, 3, [&](const std::string& key, const std::string& value) {
      if ((key == "pad_back") == late) set_option(key, value, p);
    });
  };
  option(false);
  option(true);
  return conv3d_fresh_problem(p.pass, p.options, p.x, p.w, p.dtype);
}

std::ostream& operator<<(std::ostream& out, const Conv3dProblem& p) {
  const Conv3dOptions& o = p.options;
  out << name_of(p.pass);
  print(out, p.x);
  print(out, p.w);
  print(out, "stride", o.stride, 1);
  print(out, "dilation", o.dilation, 1);
  print(out, "pad", o.pad_front, 0);
  if (o.pad_back != o.pad_front) print(out, "pad_back", o.pad_back, -1);
  if (o.groups != 1) out << " groups=" << o.groups;
  return out << " type=" << (rounds_factors(p) ? "tf32" : name_of(p.dtype));
}

}  // namespace kinema::kernels
