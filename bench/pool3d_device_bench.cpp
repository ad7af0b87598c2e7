#include "bench/support/device_bench.h"
#include "kernels/pool3d/pool3d.h"
#include "kernels/pool3d/pool3d_cases.h"

namespace kinema::bench {

namespace {

using kernels::Pool3d, kernels::Pool3dCase;

/// The four passes over one case. Taps are real: made by the forward pass.
void add_rows(const Settings& s, const Pool3dCase& c, Dtype type, std::vector<Case>& all) {
  const Shape out = kernels::pool3d_output(c.options, c.x);
  const Dtype taps_type = kernels::pool3d_taps(c.options);
  const int64_t x_bytes = bytes_of(c.x, type), y_bytes = bytes_of(out, type),
                taps_bytes = bytes_of(out, taps_type);
  const Pool3d& op = device_op(s, &kernels::pool3d_cuda, &kernels::pool3d_emulated);
  const auto options = c.options;
  const auto add = [&](const char* pass, int64_t bytes, std::function<Work(Memory&)> make) {
    all.push_back({std::string("pool3d.") + pass + " " + describe(type, c.x), bytes, make});
  };
  add("max_forward", x_bytes + y_bytes + taps_bytes, [=, &op, x = c.x](Memory& m) -> Work {
    const View in = m.random(x, type), y = m.empty(out, type), taps = m.empty(out, taps_type);
    return [=, &op](Stream stream) { op.max_forward(stream, options, in, y, taps); };
  });
  add("max_grad", x_bytes + y_bytes + taps_bytes, [=, &op, x = c.x](Memory& m) -> Work {
    const View in = m.random(x, type), dy = m.empty(out, type), taps = m.empty(out, taps_type);
    op.max_forward({}, options, in, dy, taps);
    return [=, &op](Stream stream) { op.max_grad(stream, options, dy, taps, in, false); };
  });
  add("average_forward", x_bytes + y_bytes, [=, &op, x = c.x](Memory& m) -> Work {
    const View in = m.random(x, type), y = m.empty(out, type);
    return [=, &op](Stream stream) { op.average_forward(stream, options, in, y); };
  });
  add("average_grad", x_bytes + y_bytes, [=, &op, x = c.x](Memory& m) -> Work {
    const View dy = m.random(out, type), dx = m.empty(x, type);
    return [=, &op](Stream stream) { op.average_grad(stream, options, dy, dx, false); };
  });
}

std::vector<Case> cases(const Settings& s) {
  std::vector<Case> all;
  for (const Pool3dCase& c : kernels::pool3d_cases) {
    if (!wanted(s, c.tag)) continue;
    for (Dtype type : {Dtype::f32, Dtype::bf16}) add_rows(s, c, type, all);
  }
  return all;
}

}  // namespace

extern const DeviceBench pool3d_device_bench;
const DeviceBench pool3d_device_bench = {cases};

}  // namespace kinema::bench
