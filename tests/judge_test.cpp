// labels: ci, trials
// What `kinema compare` calls right and wrong, on a product whose results are made up here.
#include "tools/compare/judge.h"
#include <gtest/gtest.h>
#include <cmath>

namespace kinema::test {
namespace {

using namespace tools::compare;

constexpr double bound = 1e-4;

/// y = a * b, element by element, of a box.
void multiply(const Part& box, const Views& views) {
  std::array<View, 3> v;
  for (size_t i = 0; i < 3; ++i) {
    v[i] = views[i];
    for (int a = 0; a < v[i].shape.rank; ++a) v[i] = v[i].slice(a, box.first[a], box.size[a]);
  }
  kernels::dispatch_any(v[2].dtype, [&]<class T>(T) {
    const kernels::RowOffsets a(v[0]), b(v[1]), y(v[2]);
    for (int64_t r = 0; r < y.rows(); ++r)
      for (int64_t c = 0; c < v[2].shape[-1]; ++c)
        kernels::data<T>(v[2])[y(r) + c] = T(double(kernels::data<const T>(v[0])[a(r) + c]) *
                                             double(kernels::data<const T>(v[1])[b(r) + c]));
  });
}

const Trials product{"product", [](Backend) { return static_cast<const void*>(nullptr); }, nullptr};
const Shape shape{4, 6, 5};  // 5: a row has zero lanes behind it
const Part whole{{0, 0, 0}, shape};

Trial trial_in(Precision precision, Dtype result) {
  Trial t{.pass = "forward", .precision = precision};
  t.reads("a", shape, dtype_of(precision), 0.5, 1).reads("b", shape, dtype_of(precision), 0.5, 1);
  t.writes("y", shape, result, bound);
  t.run = [](const void*, Stream, const Views& v) { multiply(whole, v); };
  t.run_part = [](const void*, const Part& p, const Views& v) { multiply(p, v); };
  return t;
}

/// The trial's operands before and after a backend that computes the product, then does `more`.
struct Result {
  std::vector<Array> before, after;

  template <class F>
  Result(const Trial& t, const F& more) : before(operands_of(t, Backend::cpu)) {
    Views views;
    for (const Array& a : before) after.push_back(a.clone());
    for (const Array& a : after) views.push_back(a.view);
    multiply(whole, views);
    const View& y = views[2];  // zero lanes are the backend's, too
    for (int64_t i = 0; i < shape[0]; ++i)
      for (int64_t j = 0; j < shape[1]; ++j)
        for (int64_t c = shape[2]; c < shape[2] + y.tail; ++c) at(y, i, j, c) = 0;
    more(views);
  }
  static float& at(const View& v, int64_t i, int64_t j, int64_t c) {
    return kernels::data<float>(v)[i * v.strides[0] + j * v.strides[1] + c];
  }
};

template <class F>
Judge::Verdict verdict(const Trial& t, const F& more, Backend backend = Backend::cpu) {
  const Result result(t, more);
  return Judge(product, t).verdict(backend, result.before, result.after);
}

const auto nothing = [](const Views&) {};

TEST(Judge, ErrorsAreOfTheLargestNumber) {
  const Trial t = trial_in(Precision::f32, Dtype::f32);
  const Judge::Verdict right = verdict(t, nothing);
  EXPECT_EQ(right.fault, "");
  EXPECT_GT(right.error, 0);  // rounding
  EXPECT_LE(right.error, 0x1p-24);
  EXPECT_EQ(right.bound, bound);
  for (double off : {0.5, 2.0}) {
    const Judge::Verdict v = verdict(t, [&](const Views& views) {
      float largest = 0;
      for (int64_t i = 0; i < shape.size(); ++i)
        largest = std::max(largest, Result::at(views[2], i / 30, i / 5 % 6, i % 5));
      Result::at(views[2], 2, 3, 4) += float(off * bound) * largest;
    });
    EXPECT_NEAR(v.error, off * bound, 1e-6);
    EXPECT_EQ(v.fault, off > 1 ? "y differs from the reference" : "");
  }
  EXPECT_EQ(verdict(t, [](const Views& v) { Result::at(v[2], 0, 0, 0) = NAN; }).fault,
            "y differs from the reference");
}

TEST(Judge, InputsAndZeroLanesAreLookedAt) {
  const Trial t = trial_in(Precision::f32, Dtype::f32);
  EXPECT_EQ(verdict(t, [](const Views& v) { Result::at(v[1], 3, 5, 4) = 2; }).fault,
            "the input b has changed");
  EXPECT_EQ(verdict(t, [](const Views& v) { Result::at(v[2], 3, 5, 5) = 1; }).fault,
            "a zero lane of y holds something");
}

/// Of a large result only boxes are known: each of them counts, what lies outside does not.
TEST(Judge, EachPartCounts) {
  Trial t = trial_in(Precision::f32, Dtype::f32);
  t.parts = {{{0, 0, 0}, {2, 2, 5}}, {{2, 3, 0}, {1, 3, 5}}};
  EXPECT_EQ(verdict(t, nothing).fault, "");
  const auto spoilt = [&](int64_t i, int64_t j, int64_t c) {
    return verdict(t, [&](const Views& v) { Result::at(v[2], i, j, c) += 1; }).fault;
  };
  EXPECT_NE(spoilt(1, 1, 4), "");
  EXPECT_NE(spoilt(2, 3, 0), "");
  EXPECT_NE(spoilt(2, 5, 4), "");
  EXPECT_EQ(spoilt(3, 5, 4), "");
  EXPECT_EQ(spoilt(0, 2, 0), "");
}

/// Twice what rounding both factors to TF32's 10 bits does: 1 + 3e comes to 1 + 4e.
TEST(Judge, RoundedFactorsWidenTheBound) {
  constexpr double e = 0x1p-12, exact = (1 + 3 * e) * (1 + 3 * e),
                   rounded = (1 + 4 * e) * (1 + 4 * e);
  Trial t = trial_in(Precision::tf32, Dtype::f32);
  for (size_t i : {0u, 1u}) t.operands[i].value = [](int64_t) { return 1 + 3 * e; };
  EXPECT_NEAR(verdict(t, nothing).bound, bound + 2 * (rounded - exact) / exact, 1e-12);
}

TEST(Judge, NarrowTypesAddAUnitInTheLastPlace) {
  const auto bound_of = [](Dtype result, Backend backend) {
    const Trial t = trial_in(Precision::bf16, result);
    const std::vector<Array> operands = operands_of(t, Backend::cpu);  // y is unset
    return Judge(product, t).verdict(backend, operands, operands).bound;
  };
  EXPECT_EQ(bound_of(Dtype::bf16, Backend::cpu), bound + 0x1p-7);
  EXPECT_EQ(bound_of(Dtype::f32, Backend::cpu), bound);
  EXPECT_EQ(bound_of(Dtype::f32, Backend::cudnn), bound + 0x1p-7);  // it rounds dw to bf16
}

}  // namespace
}  // namespace kinema::test
