#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>
#include "engine/policy.h"
#include "engine/tensor.h"
#include "engine/trace.h"

namespace kinema::engine {

class Gradients;

/// Turns the gradient of an operation's output into those of its inputs: asks `to` where each goes
/// and writes it there, so that branches and residuals add up without another pass over memory.
using Rule = std::function<void(const Tensor& dy, Gradients& to)>;

/// One result on the tape. The tape holds nodes, never values: an input lives on only if its rule
/// captured it.
struct Node {
  const char* op = "";                        ///< that made the result; "" for parameters
  std::string path;                           ///< of the module that ran; only under an Observer
  std::vector<std::shared_ptr<Node>> inputs;  ///< null where an input takes no gradient
  Rule rule;                                  ///< none for parameters and views
  Policy policy;                              ///< of the forward pass: the rule runs by it too
  Shape shape;                                ///< of the gradient, as are type and device
  Dtype dtype = Dtype::f32;
  Device device = Device::cpu;
  Tensor grad;
  bool keep = false;  ///< a parameter: its gradient stays, and stays where it is
  bool set = false;   ///< grad holds a value to add to

  /// For views: the gradient is this region of the base's own.
  std::shared_ptr<Node> base;
  std::function<Tensor(const Tensor&)> region;
  bool whole = false;  ///< the region is all of it

  ~Node();
};

/// Where a rule writes: overwrite `grad`, or add to it.
struct Target {
  Tensor grad;
  bool accumulate = false;
  View view() const { return grad.view(); }
};

/// The gradients of one operation's inputs while its rule runs.
class Gradients {
 public:
  explicit Gradients(Node& of) : of_(of) {}
  /// Whether input `i` takes a gradient.
  bool wants(int i) const;
  /// Where the gradient of input `i` is to be written; wants(i) must hold.
  Target target(int i);
  /// The gradient of input `i` is `grad` itself, which others may hold too; nothing if not wanted.
  void pass(int i, const Tensor& grad);

 private:
  Node& of_;
};

/// True while operations on this thread are put on the tape.
bool grad_mode();
/// Puts this thread on the tape, or keeps it off, while it lives.
class GradMode {
 public:
  explicit GradMode(bool on);
  ~GradMode();
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};
class NoGrad : public GradMode {
 public:
  NoGrad() : GradMode(false) {}
};

inline bool wants_grad(const Tensor& t) { return t.node != nullptr; }

/// Makes `t` a leaf that takes a gradient, which `gradient()` returns after backward().
Tensor parameter(const Tensor& t);
/// `values`, of the parameter's shape, in the place of `parameter` on the tape: gradients go to the
/// parameter, in its type. So operations may read a narrow copy of a parameter that stays f32.
Tensor stand_in(const Tensor& values, const Tensor& parameter);
/// The gradient of a parameter; not given before the first backward().
Tensor gradient(const Tensor& parameter);
/// Forgets the parameter's gradient; its memory stays for the next.
void clear_gradient(const Tensor& parameter);
/// Lets the gradient of `parameter` live in `memory`, of the same shape.
void place_gradient(const Tensor& parameter, const Tensor& memory);

/// Puts y on the tape with the rule that turns dy into the gradients of `inputs`. Every operation
/// ends here: its name and work go to the observer.
Tensor record(const char* op, Tensor y, const std::vector<Tensor>& inputs, Rule rule,
              const Work& work = {});

/// record() for a y that is on the tape whatever its inputs are, and that no observer hears of.
Tensor put_on_tape(const char* op, Tensor y, const std::vector<Tensor>& inputs, Rule rule);

/// Puts y, a view of x, on the tape: the gradient of y is region(gradient of x), written in place.
Tensor record_view(const char* op, Tensor y, const Tensor& x,
                   std::function<Tensor(const Tensor&)> region, bool whole);

/// Adds to the gradient of every parameter behind y that of sum(y * dy); dy = 1 if not given, for
/// a y of one element. Frees the tape as it passes.
void backward(const Tensor& y, const Tensor& dy = {});

}  // namespace kinema::engine
