#include "engine/train/fault.h"
#include <cmath>
#include <map>
#include "engine/autograd.h"
#include "engine/ops/copy.h"
#include "engine/ops/reduce.h"

namespace kinema::engine::train {

namespace {

/// What ends a pass.
struct Found {
  std::string fault;
};

template <class... Parts>
std::string joined(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

/// "conv3d in block1.conv", or the operation alone outside of any module.
std::string place(const char* op, const std::string& path) {
  return path.empty() ? op : joined(op, " in ", path);
}

class FaultFinder : public Observer {
 public:
  explicit FaultFinder(const nn::Module& network) {
    for (const nn::NamedTensor& p : network.parameters()) names_[p.tensor->node.get()] = p.name;
  }

  void saw(const char* op, const Tensor& y, const std::vector<Tensor>&, const Work&) override {
    if (const auto fault = fault_of(y))
      throw Found{
          joined("the output of ", place(op, current_path()), " ", y.shape(), " holds ", *fault)};
  }

  void saw_gradient(const Node& of, size_t i, const Tensor& gradient) override {
    const auto fault = fault_of(gradient);
    if (!fault) return;
    const std::string by = place(of.op, of.path);
    const auto name = names_.find(of.inputs[i].get());
    if (name == names_.end())
      throw Found{
          joined("the gradient of the input of ", by, " ", gradient.shape(), " holds ", *fault)};
    throw Found{joined("the gradient of weight ", name->second, " ", gradient.shape(), ", by ", by,
                       ", holds ", *fault)};
  }

 private:
  std::map<const Node*, std::string> names_;
};

}  // namespace

std::optional<std::string> fault_of(const Tensor& t) {
  if (t.dtype() != Dtype::f32 && !kernels::is_narrow(t.dtype())) return {};
  const Tensor sum = empty({1}, Dtype::f64, t.device());
  squared_norm(t, sum);
  // In double the squares of f32 do not overflow: the sum is finite where all elements are.
  if (std::isfinite(item(sum))) return {};
  const Tensor wide = empty(t.shape(), Dtype::f32, t.device());
  copy(t, wide);  // no cast(), of which the observer that asks would hear
  for (float v : to_vector<float>(wide))
    if (!std::isfinite(v)) return std::isnan(v) ? "NaN" : "Inf";
  return {};
}

std::optional<std::string> fault_of_weights(const nn::Module& network) {
  const auto find = [](const char* what,
                       const std::vector<nn::NamedTensor>& all) -> std::optional<std::string> {
    for (const nn::NamedTensor& t : all)
      if (const auto fault = fault_of(*t.tensor))
        return joined(what, " ", t.name, " ", t.tensor->shape(), " holds ", *fault);
    return {};
  };
  const auto weights = find("weight", network.parameters());
  return weights ? weights : find("buffer", network.buffers());
}

std::optional<std::string> fault_of_pass(const nn::Module& network,
                                         const std::function<void()>& pass) {
  FaultFinder finder(network);
  try {
    pass();
  } catch (const Found& found) {
    return found.fault;
  }
  return {};
}

}  // namespace kinema::engine::train
