#include "tools/compare/judge.h"
#include <cstring>

namespace kinema::tools::compare {

namespace {

using Role = Operand::Role;

View cut(View v, const Part& p) {
  for (int a = 0; a < v.shape.rank; ++a) v = v.slice(a, p.first[a], p.size[a]);
  return v;
}

/// With 10 bits of mantissa, ties away from 0: what tensor cores are given as TF32.
Array in_tf32(const Array& a) {
  Array rounded = a.clone();
  auto* numbers = reinterpret_cast<double*>(rounded.memory->data());
  for (size_t i = 0; i < rounded.memory->size() / sizeof(double); ++i) {
    const auto bits = __builtin_bit_cast(uint32_t, float(numbers[i]));
    numbers[i] = double(__builtin_bit_cast(float, (bits + 0x1000u) & ~0x1fffu));
  }
  return rounded;
}

bool tail_is_zero(const View& v) {
  const kernels::RowOffsets offset(v);
  const int64_t size = kernels::size_of(v.dtype);
  for (int64_t r = 0; v.tail && v.size() && r < offset.rows(); ++r) {
    const char* tail = static_cast<const char*>(v.data) + (offset(r) + v.shape[-1]) * size;
    for (int64_t i = 0; i < v.tail * size; ++i)
      if (tail[i]) return false;
  }
  return true;
}

/// What is wrong with an operand beside its error; "" if nothing.
std::string fault_of(const Operand& o, const Array& before, const Array& after) {
  if (o.role == Role::input)
    return *before.memory == *after.memory ? "" : "the input " + o.name + " has changed";
  return tail_is_zero(after.view) ? "" : "a zero lane of " + o.name + " holds something";
}

}  // namespace

Judge::Judge(const Trials& trials, const Trial& trial) : trials_(trials), trial_(trial) {
  std::vector<Array> wide;
  for (const Array& a : operands_of(trial, Backend::reference)) wide.push_back(widened(a));
  wanted_ = run(wide);
  for (const Operand& o : trial.operands)
    bounds_.push_back(o.bound + (kernels::is_narrow(o.dtype) ? epsilon_of(o.dtype) : 0));
  if (trial.precision != Precision::tf32) return;
  // Twice what rounding the two factors does to the reference.
  for (size_t i : {0u, 1u}) wide[i] = in_tf32(wide[i]);
  const std::vector<Array> rounded = run(wide);
  for (size_t i = 2; i < bounds_.size(); ++i) bounds_[i] += 2 * error(i, rounded[i].view);
}

std::vector<Array> Judge::run(std::vector<Array> operands) const {
  for (Array& a : operands) a = a.clone();
  Views views;
  for (const Array& a : operands) views.push_back(a.view);
  const void* const reference = trials_.constant(Backend::reference);
  if (trial_.parts.empty()) trial_.run(reference, {}, views);
  for (const Part& p : trial_.parts) trial_.run_part(reference, p, views);
  return operands;
}

double Judge::error(size_t operand, const View& got) const {
  const View& wanted = wanted_[operand].view;
  if (trial_.parts.empty()) return error_of(got, wanted);
  double worst = 0;
  for (const Part& p : trial_.parts) worst = std::max(worst, error_of(cut(got, p), cut(wanted, p)));
  return worst;
}

Judge::Verdict Judge::verdict(Backend backend, const std::vector<Array>& before,
                              const std::vector<Array>& after) const {
  Verdict v;
  double worst = -1;
  for (size_t i = 0; i < trial_.operands.size(); ++i) {
    const Operand& o = trial_.operands[i];
    const std::string fault = fault_of(o, before[i], after[i]);
    if (v.fault.empty()) v.fault = fault;
    if (o.role == Role::input) continue;
    // cuDNN rounds the weights' gradients of narrow types to that type.
    const bool narrower = backend == Backend::cudnn && !kernels::is_narrow(o.dtype);
    const Dtype activations = dtype_of(trial_.precision);
    const double bound =
        bounds_[i] + (narrower && kernels::is_narrow(activations) ? epsilon_of(activations) : 0);
    const double e = error(i, after[i].view), share = e == 0 ? 0 : e / bound;
    if (share > 1 && v.fault.empty()) v.fault = o.name + " differs from the reference";
    if (share <= worst) continue;
    worst = share;
    v.error = e;
    v.bound = bound;
  }
  return v;
}

}  // namespace kinema::tools::compare
