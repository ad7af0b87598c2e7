#include "kernels/conv3d/conv3d_cpu_epilogue.h"
#include <algorithm>
#include <vector>
#include "kernels/base/parallel.h"
#include "kernels/batch_norm/batch_norm.h"

namespace kinema::kernels {

namespace {

/// Row `i` of the only tile, as a vector of channels.
View tile_row(const View& tiles, int64_t i) {
  return {.data = data<float>(tiles) + i * tiles.stride(1),
          .dtype = Dtype::f32,
          .shape = {tiles.shape[2]},
          .strides = {1}};
}

void zero_tails(const View& tiles) {
  for (int64_t i = 0; i < tiles.shape[1]; ++i)
    std::fill_n(data<float>(tile_row(tiles, i)) + tiles.shape[2], tiles.tail, 0.f);
}

/// Every channel's `value`.
View filled(std::vector<float>& memory, int64_t channels, float value) {
  memory.assign(size_t(channels), value);
  return {.data = memory.data(), .dtype = Dtype::f32, .shape = {channels}, .strides = {1}};
}

}  // namespace

void conv3d_cpu_partials(const View& y, const View& partials) {
  const int64_t pixels = RowOffsets(y).rows(), channels = y.shape[4];
  const View count = tile_row(partials, 0), mean = tile_row(partials, 1),
             m2 = tile_row(partials, 2);
  std::fill_n(data<float>(count), channels, float(pixels));
  if (pixels > 1) {
    batch_norm_cpu.statistics({}, y, mean, m2);
  } else {  // one pixel is its own mean, and none sum to 0
    conv3d_cpu.grad_bias({}, y, mean, false);
    std::fill_n(data<float>(m2), channels, 0.f);
  }
  for (int64_t k = 0; k < channels; ++k) data<float>(m2)[k] *= float(pixels);
  zero_tails(partials);
}

void conv3d_cpu_mask(const View& dx, const View& mask) {
  const RowOffsets to(dx), from(mask);
  const int64_t channels = dx.shape[4], rows = dx.size() ? to.rows() : 0;
  dispatch_activation("conv3d", dx.dtype, [&]<class T>(T) {
    parallel_for(rows, 1024, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        T* row = data<T>(dx) + to(r);
        const T* of = data<const T>(mask) + from(r);
        for (int64_t c = 0; c < channels; ++c)
          if (float(of[c]) <= 0) row[c] = T(0);
      }
    });
  });
}

void conv3d_cpu_sums(const View& dx, const Conv3dGradEpilogue& e) {
  const int64_t channels = dx.shape[4];
  std::vector<float> one, zero;
  const View ones = filled(one, channels, 1), zeros = filled(zero, channels, 0);
  // A batch norm of z whose rstd is 1: dbeta = sum of dx, dgamma = sum of dx * (z - mean).
  BatchNormTargets sums;
  sums.dbeta.view = tile_row(e.sums, 0);
  sums.dgamma.view = tile_row(e.sums, 1);
  batch_norm_cpu.infer_grad({}, {e.z, ones, zeros, e.mean, ones, View{}}, dx, sums);
  zero_tails(e.sums);
}

}  // namespace kinema::kernels
