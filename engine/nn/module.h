#pragma once
#include <string>
#include <utility>
#include <vector>
#include "engine/autograd.h"
#include "engine/trace.h"

namespace kinema::engine::nn {

struct NamedTensor {
  std::string name;  ///< dotted path from the root, as in "layer1.conv.weight"
  Tensor* tensor;
  Tensor* working = nullptr;  ///< what forward reads in its place; null: always the tensor itself
};

/// Something with parameters, buffers and children, listed by name in the order of their making.
/// Members make themselves known to their parent:
///   struct Net : Module {
///     Conv3d conv1{this, "conv1", {.in = 3, .out = 12}};
///   };
/// A module's forward has whatever signature it needs, and begins with `auto scope = enter();`.
class Module {
 public:
  explicit Module(Module* parent = nullptr, const std::string& name = "");
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  std::vector<NamedTensor> parameters() const;
  std::vector<NamedTensor> buffers() const;
  /// Training mode of this module and all below; batch norm and dropout differ in it.
  void train(bool on = true);
  /// Whether this module and all below run their segments, where they have such, by recomputed():
  /// less memory for about a third more work.
  void checkpoint_activations(bool on = true);
  bool checkpoints_activations() const { return checkpoints_activations_; }
  /// Draws every parameter afresh, each from a stream of its own: seed and path decide.
  void initialise(uint64_t seed);
  bool training() const { return training_; }
  /// What this module and all below compute in: f32, bf16 or f16. Convolutions and fully connected
  /// layers read copies of their weights in that type from then on, and what goes into them must
  /// have it too. The parameters themselves, biases, norms and buffers stay f32. The copies do not
  /// follow the parameters: set the precision again after changing them (those of a ParameterArena
  /// are the arena's to update). Errors: another type.
  void set_precision(Dtype precision);
  Dtype precision() const { return precision_; }
  /// Where its parameters and buffers lie: the device of the DeviceScope that it was made in.
  Device device() const { return device_; }
  const std::string& path() const { return path_; }
  /// Marks this module as the one that runs: names its operations for traces and random draws.
  PathScope enter() const { return PathScope(path_); }

 protected:
  /// Sets this module's own parameters and buffers to their initial values.
  virtual void reset(uint64_t seed) { (void)seed; }
  /// Makes `t` a parameter of this module. `working`, where it is given, is what the forward pass
  /// reads in its place while it is given: the copy that set_precision() makes.
  void add_parameter(const std::string& name, Tensor& t, Tensor* working = nullptr);
  /// Saved with the weights, not trained.
  void add_buffer(const std::string& name, Tensor& t);

 private:
  void collect(std::vector<NamedTensor>& out, std::vector<NamedTensor> Module::*list) const;

  std::string path_;
  bool training_ = true, checkpoints_activations_ = false;
  Dtype precision_ = Dtype::f32;
  Device device_ = current_device();
  std::vector<NamedTensor> own_parameters_, own_buffers_;
  std::vector<Module*> children_;
};

}  // namespace kinema::engine::nn
