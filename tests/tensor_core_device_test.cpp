#include "tests/tensor_core_device_test.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

const TensorCoreKernels& kernels_of(const DeviceRun& run) {
  return run.backend == Backend::cuda ? tensor_core_kernels_cuda : tensor_core_kernels_emulated;
}

/// Runs `pass` on every device that has what it needs: the last array must be `wanted` up to
/// `bound`, the others unchanged, and each run must give the same bits.
void expect_result(const std::vector<Array>& arrays, const std::vector<double>& wanted,
                   const std::function<Pass(const TensorCoreKernels&)>& pass, int capability,
                   double bound, const std::string& what) {
  const Array right = filled_array(arrays.back().view.shape, arrays.back().view.dtype, wanted);
  std::optional<std::vector<char>> bits;
  for (const DeviceRun& run : device_runs()) {
    const std::shared_ptr<void> scope = run.enter();
    if (run.runtime->gpu().compute_capability < capability) continue;
    const auto got = on_device(run, arrays, pass(kernels_of(run)));
    EXPECT_LE(error(got.back(), right), bound) << what << " on " << run.name;
    for (size_t i = 0; i + 1 < arrays.size(); ++i)
      EXPECT_TRUE(*got[i].memory == *arrays[i].memory) << what << ": an input has changed";
    if (!bits) bits = *got.back().memory;
    EXPECT_TRUE(*bits == *got.back().memory) << what << ": other bits on " << run.name;
  }
}

/// c[i,j] = sum over k of a(i,k) * b(k,j), in double.
template <class A, class B>
std::vector<double> product(int64_t rows, int64_t columns, int64_t depth, A a, B b) {
  std::vector<double> c;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < depth; ++k) sum += a(i, k) * b(k, j);
      c.push_back(sum);
    }
  return c;
}

// The products of 16-bit numbers are exact in f32; each of the depth's additions rounds once, and
// the sums are not above depth: times 2 for the largest sum, which stands below.
double sum_bound(int64_t depth) { return 2 * double(depth) * epsilon_of(Dtype::f32); }

TEST(TensorCore, CopiesLdmatrixAndMmaMultiplyMatrices) {
  struct Case {
    int64_t m, n, k;
  };
  for (const auto [m, n, k] : {Case{64, 64, 32}, Case{128, 64, 96}, Case{100, 72, 40}}) {
    for (Dtype type : {Dtype::bf16, Dtype::f16}) {
      const Array a = random_array({m, k}, type, 1), b = random_array({k, n}, type, 2);
      const auto x = a.values(), y = b.values();
      const auto wanted = product(
          m, n, k, [&](int64_t i, int64_t j) { return x[size_t(i * k + j)]; },
          [&](int64_t i, int64_t j) { return y[size_t(i * n + j)]; });
      expect_result(
          {a, b, Array({m, n}, Dtype::f32)}, wanted,
          [](const TensorCoreKernels& all) -> Pass {
            return [&all](kernels::Stream s, const std::vector<View>& v) {
              all.multiply_mma(s, v[0], v[1], v[2]);
            };
          },
          80, sum_bound(k), "mma " + std::to_string(m));
    }
  }
}

TEST(TensorCore, LoadsAndWgmmaMultiplyMatrices) {
  struct Case {
    int64_t m, n, k;
  };
  std::vector<Case> cases = {{200, 72, 328}, {64, 64, 64}};
  if (!small()) cases.push_back({256, 136, 512});
  for (const auto [m, n, k] : cases) {
    const Array a = random_array({m, k}, Dtype::bf16, 1), b = random_array({n, k}, Dtype::bf16, 2);
    const auto x = a.values(), y = b.values();
    const auto wanted = product(
        m, n, k, [&](int64_t i, int64_t j) { return x[size_t(i * k + j)]; },
        [&](int64_t i, int64_t j) { return y[size_t(j * k + i)]; });
    expect_result(
        {a, b, Array({m, n}, Dtype::bf16)}, wanted,
        [](const TensorCoreKernels& all) -> Pass {
          return [&all](kernels::Stream s, const std::vector<View>& v) {
            all.multiply_wgmma(s, v[0], v[1], v[2]);
          };
        },
        90, sum_bound(k) + epsilon_of(Dtype::bf16), "wgmma " + std::to_string(m));
  }
}

/// The convolution's sums in double, in the order of y.
std::vector<double> convolved(const ConvolutionCase& p, const Array& x, const Array& filter,
                              const kernels::Shape& y) {
  const auto in = x.values(), weights = filter.values();
  const kernels::Shape xs = x.view.shape, fs = filter.view.shape;
  const int64_t outputs = y[1] * y[2] * y[3], taps = fs[1] * fs[2] * fs[3], channels = xs[4];
  const auto pixel = [&](int64_t i, int64_t tap) {
    int64_t offset = i / outputs, out = i % outputs;
    const int64_t place[3] = {out / (y[2] * y[3]), out / y[3] % y[2], out % y[3]};
    const int64_t element[3] = {tap / (fs[2] * fs[3]), tap / fs[3] % fs[2], tap % fs[3]};
    for (int k = 0; k < 3; ++k) {
      const int64_t at = place[k] * p.stride[k] - p.padding[k] + element[k];
      if (at < 0 || at >= xs[k + 1]) return int64_t(-1);
      offset = offset * xs[k + 1] + at;
    }
    return offset;
  };
  return product(
      y[0] * outputs, y[4], taps * channels,
      [&](int64_t i, int64_t k) {
        const int64_t at = pixel(i, k / channels);
        return at < 0 ? 0.0 : in[size_t(at * channels + k % channels)];
      },
      [&](int64_t k, int64_t j) { return weights[size_t(j * taps * channels + k)]; });
}

TEST(TensorCore, Im2colLoadsAndWgmmaConvolve) {
  struct Case {
    kernels::Shape x, filter;
    ConvolutionCase p;
  };
  std::vector<Case> cases = {
      {{2, 3, 5, 7, 64}, {72, 3, 3, 3, 64}, {{1, 1, 1}, {1, 1, 1}}},
      {{1, 4, 5, 7, 64}, {16, 3, 2, 3, 64}, {{2, 1, 2}, {2, 0, 1}}},
  };
  if (!small()) cases.push_back({{1, 5, 6, 6, 128}, {64, 3, 3, 1, 128}, {{1, 2, 1}, {0, 1, 0}}});
  for (const Case& c : cases) {
    kernels::Shape y = c.x;
    for (int i = 0; i < 3; ++i)
      y[i + 1] = (c.x[i + 1] + 2 * c.p.padding[i] - c.filter[i + 1]) / c.p.stride[i] + 1;
    y[4] = c.filter[0];
    const Array x = random_array(c.x, Dtype::bf16, 1), w = random_array(c.filter, Dtype::bf16, 2);
    const int64_t depth = c.filter[1] * c.filter[2] * c.filter[3] * c.filter[4];
    expect_result(
        {x, w, Array(y, Dtype::bf16)}, convolved(c.p, x, w, y),
        [&](const TensorCoreKernels& all) -> Pass {
          return [&](kernels::Stream s, const std::vector<View>& v) {
            all.convolve(s, c.p, v[0], v[1], v[2]);
          };
        },
        90, sum_bound(depth) + epsilon_of(Dtype::bf16), "convolve");
  }
}

}  // namespace
}  // namespace kinema::test
