#include "engine/nn/module.h"
#include "engine/ops/copy.h"

namespace kinema::engine::nn {

Module::Module(Module* parent, const std::string& name) {
  if (!parent) return;
  path_ = parent->path_.empty() ? name : parent->path_ + "." + name;
  parent->children_.push_back(this);
}

void Module::add_parameter(const std::string& name, Tensor& t, Tensor* working) {
  t = parameter(t);
  own_parameters_.push_back({path_.empty() ? name : path_ + "." + name, &t, working});
}

void Module::add_buffer(const std::string& name, Tensor& t) {
  own_buffers_.push_back({path_.empty() ? name : path_ + "." + name, &t});
}

void Module::collect(std::vector<NamedTensor>& out, std::vector<NamedTensor> Module::*list) const {
  out.insert(out.end(), (this->*list).begin(), (this->*list).end());
  for (const Module* child : children_) child->collect(out, list);
}

std::vector<NamedTensor> Module::parameters() const {
  std::vector<NamedTensor> all;
  collect(all, &Module::own_parameters_);
  return all;
}

std::vector<NamedTensor> Module::buffers() const {
  std::vector<NamedTensor> all;
  collect(all, &Module::own_buffers_);
  return all;
}

void Module::initialise(uint64_t seed) {
  reset(seed);
  for (Module* child : children_) child->initialise(seed);
}

void Module::checkpoint_activations(bool on) {
  checkpoints_activations_ = on;
  for (Module* child : children_) child->checkpoint_activations(on);
}

void Module::set_precision(Dtype precision) {
  check(precision == Dtype::f32 || kernels::is_narrow(precision),
        "precision: expected f32, bf16 or f16, got ", precision);
  precision_ = precision;
  for (const NamedTensor& p : own_parameters_) {
    if (!p.working) continue;
    const Tensor narrow = precision == Dtype::f32 ? Tensor{} : cast(p.tensor->detach(), precision);
    *p.working = narrow ? stand_in(narrow, *p.tensor) : narrow;
  }
  for (Module* child : children_) child->set_precision(precision);
}

void Module::train(bool on) {
  training_ = on;
  for (Module* child : children_) child->train(on);
}

}  // namespace kinema::engine::nn
