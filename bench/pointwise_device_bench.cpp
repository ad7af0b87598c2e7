#include "bench/support/device_bench.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/pointwise/pointwise_cases.h"

namespace kinema::bench {

namespace {

using kernels::Pointwise, kernels::Unary;

/// A pass from two inputs to y, of which it uses `tensors` in all.
struct Named {
  const char* name;
  int tensors;
  void (*run)(const Pointwise&, Stream, View a, View b, View y);
};

const Named passes[] = {
    {"relu", 2,
     [](const Pointwise& op, Stream s, View a, View, View y) { op.forward(s, Unary::relu, a, y); }},
    {"sigmoid", 2,
     [](const Pointwise& op, Stream s, View a, View, View y) {
       op.forward(s, Unary::sigmoid, a, y);
     }},
    {"tanh", 2,
     [](const Pointwise& op, Stream s, View a, View, View y) { op.forward(s, Unary::tanh, a, y); }},
    {"tanh.grad", 3,
     [](const Pointwise& op, Stream s, View a, View b, View y) {
       op.grad(s, Unary::tanh, a, b, y, false);
     }},
    {"add", 3, [](const Pointwise& op, Stream s, View a, View b, View y) { op.add(s, a, b, y); }},
    {"multiply, added", 4,
     [](const Pointwise& op, Stream s, View a, View b, View y) { op.multiply(s, a, b, y, true); }},
    {"scale", 2,
     [](const Pointwise& op, Stream s, View a, View, View y) { op.scale(s, 0.5, a, y); }},
    {"dropout", 2,
     [](const Pointwise& op, Stream s, View a, View, View y) {
       op.dropout(s, {.p = 0.5, .key = 1, .stream = 2}, a, y, false);
     }},
};

std::vector<Case> cases(const Settings& s) {
  std::vector<Case> all;
  for (const auto& c : kernels::pointwise_cases) {
    if (!wanted(s, c.tag)) continue;
    for (Dtype type : {Dtype::f32, Dtype::bf16})
      for (const Named& pass : passes)
        all.push_back(
            {.name = std::string("pointwise.") + pass.name + " " + describe(type, c.x),
             .floor_bytes = pass.tensors * bytes_of(c.x, type),
             .make = [=](Memory& m) -> Work {
               const View a = m.random(c.x, type), b = m.random(c.x, type), y = m.random(c.x, type);
               return [=](Stream stream) {
                 pass.run(device_op(s, &kernels::pointwise_cuda, &kernels::pointwise_emulated),
                          stream, a, b, y);
               };
             }});
  }
  return all;
}

}  // namespace

extern const DeviceBench pointwise_device_bench;
const DeviceBench pointwise_device_bench = {cases};

}  // namespace kinema::bench
