#include <algorithm>
#include "kernels/conv3d/conv3d.h"

namespace kinema::kernels {

namespace {

/// Element [n,t,h,w,c] of a five-axis view.
template <class T>
T& at(const View& v, int64_t n, int64_t t, int64_t h, int64_t w, int64_t c) {
  return data<T>(
      v)[n * v.stride(0) + t * v.stride(1) + h * v.stride(2) + w * v.stride(3) + c * v.stride(4)];
}

/// f(n, t, h, w) for every pixel of a five-axis view.
template <class F>
void each_pixel(const View& v, F f) {
  for (int64_t n = 0; n < v.shape[0]; ++n)
    for (int64_t t = 0; t < v.shape[1]; ++t)
      for (int64_t h = 0; h < v.shape[2]; ++h)
        for (int64_t w = 0; w < v.shape[3]; ++w) f(n, t, h, w);
}

/// f(a, b, c) for every tap of the filter.
template <class F>
void each_tap(const View& w, F f) {
  for (int64_t a = 0; a < w.shape[1]; ++a)
    for (int64_t b = 0; b < w.shape[2]; ++b)
      for (int64_t c = 0; c < w.shape[3]; ++c) f(a, b, c);
}

/// Where tap `k` of output `o` reads along axis `i`; may lie outside of x.
int64_t source(const Conv3dOptions& opt, size_t i, int64_t o, int64_t k) {
  return o * opt.stride[i] - opt.pad_front[i] + k * opt.dilation[i];
}

bool inside(const View& x, int64_t t, int64_t h, int64_t w) {
  return t >= 0 && t < x.shape[1] && h >= 0 && h < x.shape[2] && w >= 0 && w < x.shape[3];
}

/// Row `i` of the one tile that an epilogue leaves [1, rows, channels] of.
template <class T>
T* tile_row(const View& tiles, int64_t i) {
  return data<T>(tiles) + i * tiles.stride(1);
}

template <class T>
void zero_tail(const View& v) {
  const RowOffsets offset(v);
  for (int64_t r = 0; v.size() && r < offset.rows(); ++r)
    std::fill_n(data<T>(v) + offset(r) + v.shape[-1], v.tail, T(0));
}

/// All pixels of the stored y are one tile.
template <class T>
void leave_partials(const View& y, const View& partials) {
  for (int64_t k = 0; k < y.shape[4]; ++k) {
    double pixels = 0, mean = 0, m2 = 0;
    each_pixel(y, [&](int64_t n, int64_t t, int64_t h, int64_t v) {
      ++pixels;
      mean += double(at<T>(y, n, t, h, v, k));
    });
    if (pixels > 0) mean /= pixels;
    each_pixel(y, [&](int64_t n, int64_t t, int64_t h, int64_t v) {
      const double gap = double(at<T>(y, n, t, h, v, k)) - mean;
      m2 += gap * gap;
    });
    tile_row<Wide<T>>(partials, 0)[k] = Wide<T>(pixels);
    tile_row<Wide<T>>(partials, 1)[k] = Wide<T>(mean);
    tile_row<Wide<T>>(partials, 2)[k] = Wide<T>(m2);
  }
  zero_tail<Wide<T>>(partials);
}

void forward(Stream, const Conv3dOptions& opt, View x, View w, View y, const Conv3dEpilogue& e) {
  check_conv3d(opt, x, w, y, e);
  check_conv3d_tiles(e.partials, 1);
  const int64_t per_group = w.shape[0] / opt.groups, channels = w.shape[4];
  dispatch_float("conv3d", x.dtype, [&]<class T>(T) {
    each_pixel(y, [&](int64_t n, int64_t t, int64_t h, int64_t v) {
      for (int64_t k = 0; k < w.shape[0]; ++k) {
        double sum = 0;
        each_tap(w, [&](int64_t a, int64_t b, int64_t c) {
          const int64_t st = source(opt, 0, t, a), sh = source(opt, 1, h, b),
                        sw = source(opt, 2, v, c);
          if (!inside(x, st, sh, sw)) return;
          for (int64_t i = 0; i < channels; ++i)
            sum += double(at<T>(x, n, st, sh, sw, k / per_group * channels + i)) *
                   at<T>(w, k, a, b, c, i);
        });
        if (e.bias) sum += data<Wide<T>>(e.bias)[k];
        if (e.scale) sum *= data<Wide<T>>(e.scale)[k];
        if (e.shift) sum += data<Wide<T>>(e.shift)[k];
        if (e.residual) sum += at<T>(e.residual, n, t, h, v, k);
        at<T>(y, n, t, h, v, k) = T(e.relu && sum < 0 ? 0 : sum);
      }
    });
    zero_tail<T>(y);
    if (e.partials) leave_partials<T>(y, e.partials);
  });
}

/// Output position that reads input `s` through tap `k` along axis `i`, or -1.
int64_t reader(const Conv3dOptions& opt, size_t i, int64_t s, int64_t k, int64_t outputs) {
  const int64_t scaled = s + opt.pad_front[i] - k * opt.dilation[i];
  if (scaled < 0 || scaled % opt.stride[i] != 0) return -1;
  return scaled / opt.stride[i] < outputs ? scaled / opt.stride[i] : -1;
}

/// All pixels of the stored dx are one tile.
template <class T>
void leave_sums(const View& dx, const Conv3dGradEpilogue& e) {
  for (int64_t i = 0; i < dx.shape[4]; ++i) {
    const double mean = data<Wide<T>>(e.mean)[i];
    double sum = 0, product = 0;
    each_pixel(dx, [&](int64_t n, int64_t t, int64_t h, int64_t v) {
      const double d = at<T>(dx, n, t, h, v, i);
      sum += d;
      product += d * (double(at<T>(e.z, n, t, h, v, i)) - mean);
    });
    tile_row<Wide<T>>(e.sums, 0)[i] = Wide<T>(sum);
    tile_row<Wide<T>>(e.sums, 1)[i] = Wide<T>(product);
  }
  zero_tail<Wide<T>>(e.sums);
}

void grad_input(Stream, const Conv3dOptions& opt, View dy, View w, View dx,
                const Conv3dGradEpilogue& e) {
  check_conv3d_input(opt, dy, w, dx, e);
  check_conv3d_tiles(e.sums, 1);
  const int64_t per_group = w.shape[0] / opt.groups, channels = w.shape[4];
  dispatch_float("conv3d", dy.dtype, [&]<class T>(T) {
    each_pixel(dx, [&](int64_t n, int64_t t, int64_t h, int64_t v) {
      for (int64_t i = 0; i < dx.shape[4]; ++i) {
        const int64_t group = i / channels;
        double sum = e.accumulate ? double(at<T>(dx, n, t, h, v, i)) : 0;
        each_tap(w, [&](int64_t a, int64_t b, int64_t c) {
          const int64_t ot = reader(opt, 0, t, a, dy.shape[1]);
          const int64_t oh = reader(opt, 1, h, b, dy.shape[2]);
          const int64_t ow = reader(opt, 2, v, c, dy.shape[3]);
          if (ot < 0 || oh < 0 || ow < 0) return;
          for (int64_t k = group * per_group; k < (group + 1) * per_group; ++k)
            sum += double(at<T>(dy, n, ot, oh, ow, k)) * at<T>(w, k, a, b, c, i % channels);
        });
        const bool stopped = e.mask && double(at<T>(e.mask, n, t, h, v, i)) <= 0;
        at<T>(dx, n, t, h, v, i) = T(stopped ? 0 : sum);
      }
    });
    zero_tail<T>(dx);
    if (e.sums) leave_sums<T>(dx, e);
  });
}

void grad_weight(Stream, const Conv3dOptions& opt, View x, View dy, View dw, bool accumulate) {
  check_conv3d_weight(opt, x, dy, dw);
  const int64_t per_group = dw.shape[0] / opt.groups, channels = dw.shape[4];
  dispatch_float("conv3d", x.dtype, [&]<class T>(T) {
    for (int64_t k = 0; k < dw.shape[0]; ++k)
      each_tap(dw, [&](int64_t a, int64_t b, int64_t c) {
        for (int64_t i = 0; i < channels; ++i) {
          double sum = accumulate ? double(at<Wide<T>>(dw, k, a, b, c, i)) : 0;
          each_pixel(dy, [&](int64_t n, int64_t t, int64_t h, int64_t v) {
            const int64_t st = source(opt, 0, t, a), sh = source(opt, 1, h, b),
                          sw = source(opt, 2, v, c);
            if (inside(x, st, sh, sw))
              sum += double(at<T>(x, n, st, sh, sw, k / per_group * channels + i)) *
                     at<T>(dy, n, t, h, v, k);
          });
          at<Wide<T>>(dw, k, a, b, c, i) = Wide<T>(sum);
        }
      });
    zero_tail<Wide<T>>(dw);
  });
}

void grad_bias(Stream, View dy, View db, bool accumulate) {
  check_conv3d_bias(dy, db);
  dispatch_float("conv3d", dy.dtype, [&]<class T>(T) {
    for (int64_t k = 0; k < dy.shape[4]; ++k) {
      double sum = accumulate ? double(data<Wide<T>>(db)[k]) : 0;
      each_pixel(
          dy, [&](int64_t n, int64_t t, int64_t h, int64_t v) { sum += at<T>(dy, n, t, h, v, k); });
      data<Wide<T>>(db)[k] = Wide<T>(sum);
    }
  });
}

}  // namespace

const Conv3d conv3d_reference = {.forward = forward,
                                 .grad_input = grad_input,
                                 .grad_weight = grad_weight,
                                 .grad_bias = grad_bias,
                                 .tiles = one_tile};

}  // namespace kinema::kernels
