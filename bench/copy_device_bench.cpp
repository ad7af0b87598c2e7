#include "bench/support/device_bench.h"
#include "kernels/copy/copy.h"
#include "kernels/copy/copy_cases.h"

namespace kinema::bench {

namespace {

struct Pair {
  Dtype from, to;
  bool accumulate;
};
constexpr Pair pairs[] = {
    {Dtype::f32, Dtype::f32, false},  {Dtype::bf16, Dtype::bf16, false},
    {Dtype::u8, Dtype::u8, false},    {Dtype::bf16, Dtype::bf16, true},
    {Dtype::f32, Dtype::bf16, false}, {Dtype::f32, Dtype::bf16, true},
    {Dtype::bf16, Dtype::f32, false}, {Dtype::u8, Dtype::bf16, false},
};

std::vector<Case> cases(const Settings& s) {
  std::vector<Case> all;
  for (const auto& c : kernels::copy_cases) {
    if (!wanted(s, c.tag)) continue;
    for (const Pair& p : pairs)
      all.push_back(
          {.name = std::string("copy.forward ") + (p.accumulate ? "adds " : "") + name_of(p.from) +
                   " to " + describe(p.to, c.x),
           .floor_bytes = bytes_of(c.x, p.from) + (p.accumulate ? 2 : 1) * bytes_of(c.x, p.to),
           .make = [=](Memory& m) -> Work {
             const View x = p.from == Dtype::u8 ? m.empty(c.x, p.from) : m.random(c.x, p.from);
             const View y = p.to == Dtype::u8 ? m.empty(c.x, p.to) : m.random(c.x, p.to);
             return [=](Stream stream) {
               device_op(s, &kernels::copy_cuda, &kernels::copy_emulated)
                   .forward(stream, x, y, p.accumulate);
             };
           }});
    for (Dtype type : {Dtype::f32, Dtype::bf16})
      all.push_back(
          {.name = "copy.fill " + describe(type, c.x),
           .floor_bytes = bytes_of(c.x, type),
           .make = [=](Memory& m) -> Work {
             const View y = m.empty(c.x, type);
             return [=](Stream stream) {
               device_op(s, &kernels::copy_cuda, &kernels::copy_emulated).fill(stream, y, 0);
             };
           }});
  }
  return all;
}

}  // namespace

extern const DeviceBench copy_device_bench;
const DeviceBench copy_device_bench = {cases};

}  // namespace kinema::bench
