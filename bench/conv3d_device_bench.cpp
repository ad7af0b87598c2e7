#include <algorithm>
#include "bench/support/device_bench.h"
#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/conv3d_suite.h"

namespace kinema::bench {

namespace {

using kernels::Conv3d, kernels::Conv3dSuiteRow;

/// The three passes over one layer; nobody needs the dx of a stem.
void add_rows(const Settings& s, const Conv3dSuiteRow& row, Dtype type, bool tf32,
              std::vector<Case>& all) {
  kernels::Conv3dOptions options = row.options;
  options.tf32 = tf32;
  const Shape x = row.x, w = row.w, y = kernels::conv3d_output(options, x, w);
  const Conv3d& op = device_op(s, &kernels::conv3d_cuda, &kernels::conv3d_emulated);
  const auto add = [&](const char* pass, Dtype weights, auto call) {
    all.push_back({.name = std::string("conv3d.") + pass + " " + row.model + "." + row.layer + " " +
                           describe(type, x) + (tf32 ? " tf32" : ""),
                   .floor_bytes = bytes_of(x, type) + bytes_of(w, weights) + bytes_of(y, type),
                   .make = [=](Memory& m) -> Work {
                     const View in = m.random(x, type), by = m.random(w, weights),
                                out = m.random(y, type);
                     return [=](Stream stream) { call(stream, in, by, out); };
                   },
                   .flop = 2 * double(y.size()) * double(w.size() / w[0]),
                   .flop_rate = tf32 ? flop_rate(Dtype::bf16) / 2 : flop_rate(type)});
  };
  add("forward", type, [options, &op](Stream stream, View in, View by, View out) {
    op.forward(stream, options, in, by, out, {});
  });
  if (x[4] > 4)
    add("grad_input", type, [options, &op](Stream stream, View in, View by, View out) {
      op.grad_input(stream, options, out, by, in, {});
    });
  add("grad_weight", Dtype::f32, [options, &op](Stream stream, View in, View by, View out) {
    op.grad_weight(stream, options, in, out, by, false);
  });
}

/// One clip of as few pixels as the filter needs, all channels.
Conv3dSuiteRow shrunk(Conv3dSuiteRow row) {
  row.x[0] = 1;
  for (int i = 0; i < 3; ++i) row.x[i + 1] = std::min(row.x[i + 1], row.w[i + 1] + 1);
  return row;
}

/// The headline and the depthwise layers in bf16; one of all compute in f32 too.
std::vector<Case> cases(const Settings& s) {
  std::vector<Case> all;
  for (const Conv3dSuiteRow& full : kernels::read_conv3d_suite()) {
    const Conv3dSuiteRow row = s.small ? shrunk(full) : full;
    if (row.headline || row.options.groups > 1) add_rows(s, row, Dtype::bf16, false, all);
    if (row.layer != "conv3b") continue;
    for (bool tf32 : {false, true}) add_rows(s, row, Dtype::f32, tf32, all);
  }
  return all;
}

}  // namespace

extern const DeviceBench conv3d_device_bench;
const DeviceBench conv3d_device_bench = {cases};

}  // namespace kinema::bench
