#include "bench/support/device_bench.h"
#include "kernels/linear/linear.h"
#include "kernels/linear/linear_cases.h"

namespace kinema::bench {

namespace {

/// The passes of one layer: each reads two of x, w, y (or their gradients) and writes the third.
void add_rows(const Settings& s, const kernels::LinearCase& c, Dtype type, std::vector<Case>& all) {
  const Shape x{c.rows, c.in}, w{c.out, c.in}, y{c.rows, c.out};
  const kernels::Linear& op = device_op(s, &kernels::linear_cuda, &kernels::linear_emulated);
  const auto add = [&](const char* pass, Dtype weights, auto call) {
    all.push_back({.name = std::string("linear.") + pass + " " + describe(type, x) + " to " +
                           std::to_string(c.out),
                   .floor_bytes = bytes_of(x, type) + bytes_of(w, weights) + bytes_of(y, type),
                   .make = [=](Memory& m) -> Work {
                     const View in = m.random(x, type), by = m.random(w, weights),
                                out = m.random(y, type);
                     return [=](Stream stream) { call(stream, in, by, out); };
                   },
                   .flop = 2 * double(x.size()) * double(c.out),
                   .flop_rate = flop_rate(type)});
  };
  add("forward", type, [&op](Stream stream, View in, View by, View out) {
    op.forward(stream, {}, in, by, out, {});
  });
  add("grad_input", type, [&op](Stream stream, View in, View by, View out) {
    op.grad_input(stream, {}, out, by, in, false);
  });
  add("grad_weight", Dtype::f32, [&op](Stream stream, View in, View by, View out) {
    op.grad_weight(stream, {}, in, out, by, false);
  });
}

std::vector<Case> cases(const Settings& s) {
  std::vector<Case> all;
  for (const auto& c : kernels::linear_cases)
    if (wanted(s, c.tag))
      for (Dtype type : {Dtype::f32, Dtype::bf16}) add_rows(s, c, type, all);
  return all;
}

}  // namespace

extern const DeviceBench linear_device_bench;
const DeviceBench linear_device_bench = {cases};

}  // namespace kinema::bench
