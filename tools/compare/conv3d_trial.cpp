#include <cmath>
#include <filesystem>
#include <sstream>
#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/conv3d_cases.h"
#include "kernels/conv3d/conv3d_cudnn.h"
#include "kernels/conv3d/conv3d_plan.h"
#include "kernels/conv3d/conv3d_suite.h"
#include "tools/compare/conv3d_part.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

namespace {

using kernels::Conv3d, kernels::Conv3dOptions, kernels::Conv3dPass;

struct Layer {
  std::string name;
  Conv3dOptions options;
  Shape x, w;
};

/// Products are exact in f32 or rounded but once; sums of n random terms stray from the largest
/// like the root of n, those of 13824 (C3D conv5) by 4e-6 (docs/design.md).
double bound_of(int64_t terms) { return 1e-5 * std::max(1.0, std::sqrt(double(terms) / 13824)); }

/// Work that the reference, plain loops on one core, does within a second or two.
constexpr double most_reference_flop = 1e9;

std::string text_of(const Layer& l) {
  const Conv3dOptions& o = l.options;
  return word_of("x", l.x) + " " + word_of("w", l.w) + word_of("stride", o.stride, {1, 1, 1}) +
         word_of("dilation", o.dilation, {1, 1, 1}) + word_of("pad", o.pad_front, {0, 0, 0}) +
         word_of("pad_back", o.pad_back, o.pad_front) +
         (o.groups == 1 ? "" : " groups=" + std::to_string(o.groups));
}

Trial pass(const Request& r, const char* name, const Layer& l, int64_t terms) {
  const Shape y = kernels::conv3d_output(l.options, l.x, l.w);
  return {.pass = name,
          .precision = r.precision,
          .shape = text_of(l),
          .name = l.name,
          .reason = "sums of " + std::to_string(terms) + " terms in f32",
          .flop = 2 * double(y.size()) * double(l.w[1] * l.w[2] * l.w[3] * l.w[4])};
}

/// Of the hand-written kernels.
auto plan_of(Conv3dPass p, const Conv3dOptions& o, const Layer& l, Dtype type) {
  return [=](const kernels::Gpu& gpu) -> std::string {
    const Shape y = kernels::conv3d_output(o, l.x, l.w);
    if (!l.x.size() || !l.w.size() || !y.size()) return "nothing to compute";
    std::ostringstream text;
    text << conv3d_current_plan(kernels::conv3d_fresh_problem(p, o, l.x, l.w, type), gpu);
    return text.str();
  };
}

/// "eng62_k2=7_k27=1, 4096 bytes of workspace, tensor core": for each that cuDNN ranks high.
std::vector<std::string> cudnn_plans(const kernels::Conv3dProblem& problem) {
  std::vector<std::string> all;
  for (const auto& p : kernels::conv3d_cudnn_plans(problem, most_cudnn_plans))
    all.push_back(p.name + ", " + std::to_string(p.workspace) + " bytes of workspace" +
                  (p.notes.empty() ? "" : ", " + p.notes));
  return all;
}

void add(const Request& r, const Layer& l, std::vector<Trial>& all) {
  const Dtype type = dtype_of(r.precision);
  Conv3dOptions o = l.options;
  o.tf32 = r.precision == Precision::tf32;
  const Shape x = l.x, w = l.w, y = kernels::conv3d_output(o, x, w);
  const int64_t taps = w[1] * w[2] * w[3], pixels = y.size() / std::max<int64_t>(y[4], 1);
  const auto add_pass = [&](Conv3dPass p, Trial t) {
    t.plan = plan_of(p, o, l, type);
    if (&kernels::conv3d_cudnn_plans)
      t.cudnn_plans = [problem = kernels::conv3d_fresh_problem(p, o, x, w, type)] {
        return cudnn_plans(problem);
      };
    if (t.flop > most_reference_flop) {
      t.parts = conv3d_parts(t.operands.back().shape, p);
      t.run_part = [p, o](const void* op, const Part& part, const Views& v) {
        run_conv3d_part(*static_cast<const Conv3d*>(op), p, o, part, v);
      };
    }
    all.push_back(std::move(t));
  };
  const int64_t forward_terms = taps * w[4], input_terms = taps * w[0] / o.groups;
  add_pass(Conv3dPass::forward, pass(r, "forward", l, forward_terms)
                                    .reads("x", x, type)
                                    .reads("w", w, type)
                                    .writes("y", y, type, bound_of(forward_terms))
                                    .runs(&Conv3d::forward, [o](auto f, Stream s, const Views& v) {
                                      f(s, o, v[0], v[1], v[2], {});
                                    }));
  add_pass(Conv3dPass::grad_input,
           pass(r, "grad_input", l, input_terms)
               .reads("dy", y, type)
               .reads("w", w, type)
               .writes("dx", x, type, bound_of(input_terms))
               .runs(&Conv3d::grad_input,
                     [o](auto f, Stream s, const Views& v) { f(s, o, v[0], v[1], v[2], {}); }));
  add_pass(Conv3dPass::grad_weight,
           pass(r, "grad_weight", l, pixels)
               .reads("x", x, type)
               .reads("dy", y, type)
               .writes("dw", w, Dtype::f32, bound_of(pixels))
               .runs(&Conv3d::grad_weight,
                     [o](auto f, Stream s, const Views& v) { f(s, o, v[0], v[1], v[2], false); }));
  if (o.tf32) return;  // sums alone: no factors
  Trial bias = pass(r, "grad_bias", l, pixels);
  bias.flop = 0;
  all.push_back(bias.reads("dy", y, type)
                    .writes("db", {w[0]}, Dtype::f32, bound_of(pixels))
                    .runs(&Conv3d::grad_bias,
                          [](auto f, Stream s, const Views& v) { f(s, v[0], v[1], false); }));
}

Layer from_text(const std::string& text) {
  Words words("conv3d", text);
  Layer l;
  l.x = words.shape("x", 5);
  l.w = words.shape("w", 5);
  Conv3dOptions& o = l.options;
  o.stride = words.triple("stride", o.stride, 1);
  o.dilation = words.triple("dilation", o.dilation, 1);
  o.pad_front = words.triple("pad", o.pad_front);
  o.pad_back = words.triple("pad_back", o.pad_front);
  if (words.has("groups")) o.groups = words.shape("groups", 1, 1)[0];
  words.done();
  kernels::conv3d_output(o, l.x, l.w);
  return l;
}

/// One clip of as few pixels as the filter needs; channels, taps, strides and padding are kept.
Shape shrunk(const kernels::Conv3dSuiteRow& row) {
  Shape x = row.x;
  x[0] = 1;
  for (int i = 1; i <= 3; ++i) x[i] = std::min(x[i], row.w[i] + 1);
  return x;
}

std::vector<Layer> layers_of(const Request& r) {
  std::vector<Layer> all;
  if (r.by_hand()) return {from_text(r.shapes)};
  if (r.shapes == "cases") {
    for (const auto& c : kernels::conv3d_cases)
      if (r.wants(c.tag)) all.push_back({c.what, c.options, c.x, c.w});
    return all;
  }
  const bool headline = r.shapes == "headline", suite = r.shapes == "suite" || headline;
  for (const auto& row :
       suite ? kernels::read_conv3d_suite() : kernels::read_conv3d_suite(r.shapes))
    if (row.headline || !headline)
      all.push_back({row.model + " " + row.layer, row.options,
                     r.size == Size::small ? shrunk(row) : row.x, row.w});
  return all;
}

std::vector<Trial> make(const Request& r) {
  std::vector<Trial> all;
  for (const Layer& l : layers_of(r)) add(r, l, all);
  return all;
}

}  // namespace

extern const Trials conv3d_trial;
const Trials conv3d_trial = {"conv3d", constant_of<kernels::conv3d>, make};

}  // namespace kinema::tools::compare
