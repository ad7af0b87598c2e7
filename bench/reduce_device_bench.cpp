#include "bench/support/device_bench.h"
#include "kernels/reduce/reduce.h"
#include "kernels/reduce/reduce_cases.h"

namespace kinema::bench {

namespace {

using kernels::Reduce, kernels::ReduceOptions;

/// Both passes over one case, and the norm.
void add_rows(const Settings& s, const kernels::ReduceCase& c, Dtype type, std::vector<Case>& all) {
  ReduceOptions o{.scale = 0.5};
  std::string axes;
  for (int a : c.axes) {
    o.axes[size_t(a)] = true;
    axes += " " + std::to_string(a);
  }
  const Shape x = c.x, y = kernels::reduce_output(o, x);
  const int64_t bytes = bytes_of(x, type) + bytes_of(y, type);
  const Reduce& op = device_op(s, &kernels::reduce_cuda, &kernels::reduce_emulated);
  const std::string what = describe(type, x) + " over" + axes;
  all.push_back({"reduce.forward " + what, bytes, [=, &op](Memory& m) -> Work {
                   const View from = m.random(x, type), to = m.empty(y, type);
                   return [=, &op](Stream stream) { op.forward(stream, o, from, to, false); };
                 }});
  all.push_back({"reduce.broadcast " + what, bytes, [=, &op](Memory& m) -> Work {
                   const View from = m.random(y, type), to = m.empty(x, type);
                   return [=, &op](Stream stream) { op.broadcast(stream, o, from, to, false); };
                 }});
  all.push_back({"reduce.squared_norm " + what, bytes_of(x, type), [=, &op](Memory& m) -> Work {
                   const View from = m.random(x, type), to = m.empty({1}, Dtype::f64);
                   return [=, &op](Stream stream) { op.squared_norm(stream, from, to, false); };
                 }});
}

std::vector<Case> cases(const Settings& s) {
  std::vector<Case> all;
  for (const auto& c : kernels::reduce_cases) {
    if (!wanted(s, c.tag)) continue;
    for (Dtype type : {Dtype::f32, Dtype::bf16}) add_rows(s, c, type, all);
  }
  return all;
}

}  // namespace

extern const DeviceBench reduce_device_bench;
const DeviceBench reduce_device_bench = {cases};

}  // namespace kinema::bench
