#include "engine/optim/arena.h"
#include <algorithm>
#include <map>
#include "engine/ops/copy.h"

namespace kinema::engine::optim {

namespace {

/// The layout of a fresh tensor of `precision`: rows are padded for the narrow copy too.
View layout_of(Dtype precision, const Shape& shape) {
  return kernels::fresh_layout(precision, shape);
}

/// Elements that it takes, padding counted.
int64_t room_for(Dtype precision, const Shape& shape) {
  const View v = layout_of(precision, shape);
  const int64_t all = shape.rank && shape.size() ? shape[0] * v.stride(0) : 0;
  return kernels::round_up(std::max(all, kernels::span(v)), 64 / kernels::size_of(precision));
}

}  // namespace

Tensor ParameterArena::place(const Tensor& flat, int64_t start, const Shape& shape) const {
  Tensor t{flat.storage, layout_of(precision_, shape), nullptr};
  t.layout.dtype = flat.dtype();
  if (flat.layout.data)
    t.layout.data = static_cast<char*>(flat.layout.data) + start * kernels::size_of(flat.dtype());
  return t;
}

ParameterArena::ParameterArena(nn::Module& module, Dtype precision) : precision_(precision) {
  module.set_precision(precision);
  const std::vector<nn::NamedTensor> all = module.parameters();
  std::map<const Node*, size_t> seen;
  int64_t size = 0;
  for (const auto& [name, tensor, working] : all) {
    check(tensor->dtype() == Dtype::f32, "arena: parameters must be f32, but ", name, " is ",
          tensor->dtype());
    check(tensor->device() == all.front().tensor->device(), "arena: ", name,
          " lies on another device than ", all.front().name);
    if (!seen.emplace(tensor->node.get(), parts_.size()).second) continue;
    parts_.push_back({name, *tensor, size});
    size += room_for(precision, tensor->shape());
  }
  const Device device = all.empty() ? current_device() : all.front().tensor->device();
  values_ = full({size}, 0, Dtype::f32, device);
  gradients_ = full({size}, 0, Dtype::f32, device);
  if (precision != Dtype::f32) working_ = empty({size}, precision, device);
  for (Part& p : parts_) {
    Tensor home = place(values_, p.start, p.tensor.shape());
    copy(p.tensor, home);
    home.node = p.tensor.node;
    p.tensor = home;
    place_gradient(home, place(gradients_, p.start, home.shape()));
  }
  update_working();
  for (const auto& [name, tensor, working] : all) {
    const Part& p = parts_[seen[tensor->node.get()]];
    *tensor = p.tensor;
    if (working && working_)
      *working = stand_in(place(working_, p.start, p.tensor.shape()), *tensor);
  }
}

void ParameterArena::update_working() const {
  if (working_) copy(values_, working_);
}

void ParameterArena::zero_grad() {
  for (const Part& p : parts_) clear_gradient(p.tensor);
}

const Tensor& ParameterArena::gradients() const {
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Tensor found = gradient(parts_[i].tensor), place_of = part(gradients_, i);
    if (!found) fill(place_of, 0);
    check(!found || found.storage == gradients_.storage, "arena: the gradient of ", parts_[i].name,
          " lies elsewhere; was another arena made of the module?");
  }
  return gradients_;
}

Tensor ParameterArena::part(const Tensor& flat, size_t i) const {
  check(flat.shape() == values_.shape(), "arena: expected memory of shape ", values_.shape(),
        ", got ", flat.shape());
  return place(flat, parts_[i].start, parts_[i].tensor.shape());
}

}  // namespace kinema::engine::optim
