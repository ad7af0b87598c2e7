#include "tools/compare/conv3d_part.h"
#include <algorithm>

namespace kinema::tools::compare {

namespace {

using kernels::Conv3d, kernels::Conv3dOptions, kernels::Conv3dPass;

View cut(View v, const Part& part) {
  for (int a = 0; a < v.shape.rank; ++a) v = v.slice(a, part.first[a], part.size[a]);
  return v;
}

/// Elements [first, first + count) of an axis.
struct Run {
  int64_t first = 0, count = 0;
};

int64_t reach(const Conv3dOptions& o, const Shape& w, size_t i) {
  return (w[int(i) + 1] - 1) * o.dilation[i] + 1;
}

/// What outputs [first, first + count) of axis i read of x, and the padding that is left of it.
Run sources(Conv3dOptions& o, const Shape& w, size_t i, const Run& out, int64_t size) {
  const int64_t begin = out.first * o.stride[i] - o.pad_front[i];
  const int64_t end = begin + (out.count - 1) * o.stride[i] + reach(o, w, i);
  const Run in{std::clamp<int64_t>(begin, 0, size), 0};
  const int64_t last = std::clamp<int64_t>(end, in.first, size);
  o.pad_front[i] = in.first - begin;
  o.pad_back[i] = end - last;
  return {in.first, last - in.first};
}

/// Which outputs, of `size`, read any of x [in.first, in.first + in.count) along axis i, and the
/// padding by which their gradient is that of just these.
Run readers(Conv3dOptions& o, const Shape& w, size_t i, const Run& in, int64_t size) {
  const int64_t s = o.stride[i], p = o.pad_front[i], taps = reach(o, w, i);
  // Output f reads from f * s - p to f * s - p + taps - 1; padding may not become negative.
  const int64_t earliest = std::max<int64_t>(0, in.first + p - taps + 1 + s - 1) / s;
  const int64_t first = std::min({earliest, (in.first + p) / s, size - 1});
  const int64_t last = std::clamp((in.first + in.count - 1 + p) / s, first, size - 1);
  o.pad_front[i] = p + in.first - first * s;
  o.pad_back[i] = std::max<int64_t>(0, (last - first) * s + taps - in.count - o.pad_front[i]);
  return {first, last - first + 1};
}

}  // namespace

std::vector<Part> conv3d_parts(const Shape& result, Conv3dPass pass) {
  std::vector<Part> all;
  for (int64_t place = 0; place < 3; ++place) {  // the first corner, the middle, the last corner
    Part p{result, result};
    for (int a = 0; a < result.rank; ++a) {
      const bool taps = pass == Conv3dPass::grad_weight && a > 0 && a < 4;
      const bool channels = a == 4 && pass != Conv3dPass::grad_weight;
      const int64_t most = taps || channels ? result[a] : a == 0 ? 1 : 3;
      p.size[a] = std::min(most, result[a]);
      p.first[a] = (result[a] - p.size[a]) * place / 2;
    }
    all.push_back(p);
  }
  return all;
}

void run_conv3d_part(const Conv3d& op, Conv3dPass pass, const Conv3dOptions& whole,
                     const Part& part, const Views& v) {
  Conv3dOptions o = whole;
  const View result = cut(v[2], part);
  if (pass == Conv3dPass::grad_weight) {
    // One group: a filter, and some channels of the group that it belongs to.
    const int64_t group = part.first[0] / (v[2].shape[0] / o.groups);
    o.groups = 1;
    const View x = v[0].slice(4, group * v[2].shape[4] + part.first[4], part.size[4]);
    return op.grad_weight({}, o, x, v[1].slice(4, part.first[0], part.size[0]), result, false);
  }
  const Shape& w = v[1].shape;
  View read = v[0].slice(0, part.first[0], part.size[0]);
  for (size_t i = 0; i < 3; ++i) {
    const int a = int(i) + 1;
    const Run of{part.first[a], part.size[a]};
    const Run from = pass == Conv3dPass::forward ? sources(o, w, i, of, v[0].shape[a])
                                                 : readers(o, w, i, of, v[0].shape[a]);
    read = read.slice(a, from.first, from.count);
  }
  if (pass == Conv3dPass::forward)
    op.forward({}, o, read, v[1], result, {});
  else
    op.grad_input({}, o, read, v[1], result, {});
}

}  // namespace kinema::tools::compare
