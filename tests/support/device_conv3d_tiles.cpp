#include "tests/support/device_conv3d_tiles.h"
#include <cmath>

namespace kinema::test {

namespace {

// Sums of at most 256 terms, one after another in f32, stray by the root of their number of
// roundings, relative to the sum of the terms' sizes.
const double sum_bound = 16 * epsilon_of(Dtype::f32);

std::shared_ptr<void> upload(const DeviceRun& run, Stream stream, const Array& a) {
  const auto bytes = int64_t(a.memory->size());
  std::shared_ptr<void> memory(run.runtime->allocate(bytes), run.runtime->release);
  if (bytes) run.runtime->upload(stream, a.memory->data(), memory.get(), bytes);
  return memory;
}

/// What lies in the memory of a device from `base` on, laid out as `like`.
Array download(const DeviceRun& run, Stream stream, const Array& like, const void* base) {
  Array a = like.clone();
  const auto bytes = int64_t(a.memory->size());
  if (bytes) run.runtime->download(stream, base, a.memory->data(), bytes);
  return a;
}

/// True if the lanes behind each row are zero.
bool tails_are_zero(const View& v) {
  const kernels::RowOffsets offset(v);
  for (int64_t r = 0; v.size() && r < offset.rows(); ++r)
    for (int64_t i = 0; i < v.tail; ++i)
      if (kernels::data<float>(v)[offset(r) + v.shape[-1] + i] != 0) return false;
  return true;
}

}  // namespace

void TileCheck::run(const DeviceRun& run, Stream stream, int64_t tiles, const View& result,
                    const std::function<void(const View&)>& pass) {
  const std::string what = what_ + " on " + run.name;
  Shape shape = shape_;
  shape[0] = tiles;
  const Array poisoned(shape, Dtype::f32);
  const auto memory = upload(run, stream, poisoned);
  View view = poisoned.view;
  view.data = memory.get();
  pass(view);
  void* const base = static_cast<char*>(result.data) - result_.offset;
  const Array left = download(run, stream, poisoned, memory.get()),
              stored = download(run, stream, result_, base);
  EXPECT_TRUE(tails_are_zero(left.view)) << what << ": a zero lane of a tile holds something";
  check_(left, stored, what);
  const auto [first, fresh] = first_.emplace(run.group, *left.memory);
  EXPECT_TRUE(first->second == *left.memory)
      << what << ": bits of tiles differ from those of another run";
  if (!fresh) return;
  if (!result_.memory->empty())
    run.runtime->upload(stream, result_.memory->data(), base, int64_t(result_.memory->size()));
  pass({});
  EXPECT_TRUE(*stored.memory == *download(run, stream, result_, base).memory)
      << what << ": the result depends on whether its statistics are wanted";
}

namespace {

void expect_legal(const Array& partials, const std::string& what) {
  const std::vector<double> parts = partials.values();
  const auto channels = size_t(partials.view.shape[-1]), tiles = size_t(partials.view.shape[0]);
  for (size_t t = 0; t < tiles; ++t)
    for (size_t k = 0; k < channels; ++k) {
      const double* part = parts.data() + t * 3 * channels;
      const double n = part[k], mean = part[channels + k], m2 = part[2 * channels + k];
      ASSERT_TRUE(n >= 0 && n == std::floor(n)) << what << ": tile " << t << " has " << n;
      ASSERT_EQ(n, part[0]) << what << ": pixels of tile " << t << ", channel " << k;
      ASSERT_TRUE(n > 0 || (mean == 0 && m2 == 0)) << what << ": tile " << t << " is empty";
      ASSERT_TRUE(std::isfinite(mean) && m2 >= 0) << what << ": tile " << t << ", channel " << k;
    }
}

Moments moments_of(const std::vector<double>& values, size_t k, size_t channels) {
  Moments m;
  for (size_t i = k; i < values.size(); i += channels) ++m.count, m.mean += values[i];
  if (m.count > 0) m.mean /= m.count;
  for (size_t i = k; i < values.size(); i += channels)
    m.m2 += (values[i] - m.mean) * (values[i] - m.mean);
  return m;
}

}  // namespace

std::vector<Moments> merged(const Array& partials) {
  const std::vector<double> parts = partials.values();
  const auto channels = size_t(partials.view.shape[-1]);
  std::vector<Moments> all(channels);
  for (size_t at = 0; at < parts.size(); at += 3 * channels)
    for (size_t k = 0; k < channels; ++k) {
      Moments& m = all[k];
      const double n = parts[at + k], gap = parts[at + channels + k] - m.mean;
      if (n == 0) continue;
      // Source: Chan, Golub, LeVeque, Algorithms for computing the sample variance, 1983, eq. 2.1.
      m.m2 += parts[at + 2 * channels + k] + gap * gap * n * m.count / (n + m.count);
      m.count += n;
      m.mean += gap * n / m.count;
    }
  return all;
}

void expect_statistics(const Array& partials, const Array& y, const std::string& what) {
  expect_legal(partials, what);
  if (!y.view.size()) return;
  const std::vector<Moments> got = merged(partials);
  const std::vector<double> values = y.values();
  for (size_t k = 0; k < got.size(); ++k) {
    const Moments want = moments_of(values, k, got.size());
    double largest = 0;
    for (size_t i = k; i < values.size(); i += got.size())
      largest = std::max(largest, std::abs(values[i]));
    ASSERT_EQ(got[k].count, want.count) << what << ": pixels of channel " << k;
    const double stray = sum_bound * largest;
    ASSERT_NEAR(got[k].mean, want.mean, stray) << what << ": mean of channel " << k;
    // What M2 itself loses, and what means that stray do to the distances between tiles, by
    // Cauchy and Schwarz at most 2 * stray * sqrt(pixels * M2).
    const double bound = sum_bound * want.m2 + 2 * stray * std::sqrt(want.count * want.m2) +
                         want.count * stray * stray;
    ASSERT_NEAR(got[k].m2, want.m2, bound) << what << ": M2 of channel " << k;
  }
}

void expect_sums(const Array& sums, const Array& dx, const Array& z, const Array& mean,
                 const std::string& what) {
  const std::vector<double> parts = sums.values(), d = dx.values(), of = z.values(),
                            m = mean.values();
  const size_t channels = m.size(), tiles = size_t(sums.view.shape[0]);
  for (size_t c = 0; c < channels; ++c) {
    double sum = 0, products = 0, want_sum = 0, want_products = 0, size = 0, product_size = 0;
    for (size_t t = 0; t < tiles; ++t) {
      sum += parts[2 * t * channels + c];
      products += parts[(2 * t + 1) * channels + c];
    }
    for (size_t i = c; i < d.size(); i += channels) {
      const double product = d[i] * (of[i] - m[c]);
      want_sum += d[i], size += std::abs(d[i]);
      want_products += product, product_size += std::abs(product);
    }
    ASSERT_NEAR(sum, want_sum, sum_bound * size) << what << ": sum of channel " << c;
    ASSERT_NEAR(products, want_products, sum_bound * product_size)
        << what << ": sum of dx * (z - mean) of channel " << c;
  }
}

}  // namespace kinema::test
