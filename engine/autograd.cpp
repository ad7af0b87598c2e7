#include "engine/autograd.h"
#include <unordered_set>
#include <utility>
#include "engine/ops/copy.h"

namespace kinema::engine {

namespace {

thread_local bool recording = true;

/// A node that describes t.
std::shared_ptr<Node> node_of(const Tensor& t) {
  auto node = std::make_shared<Node>();
  node->shape = t.shape();
  node->dtype = t.dtype();
  node->device = t.device();
  return node;
}

/// t in fresh memory of its own.
Tensor relaid(const Tensor& t) {
  Tensor own = empty_like(t);
  copy(t, own);
  return own;
}

/// The gradient of `node`, ready to be written or added to. Memory that somebody else holds too
/// (a gradient handed on, a slice of one) is left alone: it is copied before anything is added.
Target open(Node& node) {
  if (node.base) {
    Target base = open(*node.base);
    if (!base.accumulate && !node.whole) fill(base.grad, 0);
    Tensor part = node.region(base.grad);
    if (!part) {
      // A gradient that was handed on may lie too loosely to be seen under this shape.
      base.grad = node.base->grad = relaid(base.grad);
      part = node.region(base.grad);
    }
    // Rows seen under another shape do not own the lanes behind them.
    if (!base.accumulate && node.whole && part.layout.tail != base.grad.layout.tail)
      zero_tail(base.grad);
    return {part, base.accumulate || !node.whole};
  }
  const bool first = !node.set;
  node.set = true;
  if (!node.grad) {
    node.grad = empty(node.shape, node.dtype, node.device);
  } else if (!first && !node.keep && node.grad.storage.use_count() > 1) {
    node.grad = relaid(node.grad);
  }
  return {node.grad, !first};
}

/// Adds `grad` to the gradient of `node`; the first of an inner node is held as it is, uncopied.
void give(Node& node, const Tensor& grad) {
  if (!node.base && !node.keep && !node.set) {
    node.grad = grad.detach();
    node.set = true;
    return;
  }
  const Target to = open(node);
  copy(grad, to.grad, to.accumulate);
}

/// The gradient of `node` as it stands; not given if nothing has come yet.
Tensor current(const Node& node) {
  if (!node.base) return node.set ? node.grad : Tensor{};
  const Tensor base = current(*node.base);
  return base ? node.region(base) : base;
}

/// Shows the observer of this thread what the rule of `node` has written.
void show_gradients(const Node& node) {
  Observer* observer = Observer::current();
  for (size_t i = 0; observer && i < node.inputs.size(); ++i) {
    const Tensor grad = node.inputs[i] ? current(*node.inputs[i]) : Tensor{};
    if (grad) observer->saw_gradient(node, i, grad);
  }
}

/// Nodes behind `root`, each after those it was made from.
std::vector<std::shared_ptr<Node>> order(const std::shared_ptr<Node>& root) {
  std::vector<std::shared_ptr<Node>> done, open{root};
  std::unordered_set<Node*> entered, left;
  while (!open.empty()) {
    std::shared_ptr<Node> n = open.back();
    if (entered.insert(n.get()).second) {
      for (const auto& input : n->inputs)
        if (input && !entered.count(input.get())) open.push_back(input);
      continue;
    }
    open.pop_back();
    if (left.insert(n.get()).second) done.push_back(n);
  }
  return done;
}

}  // namespace

/// Unwinds a chain of nodes without recursion: a tape may be 100,000 long.
Node::~Node() {
  std::vector<std::shared_ptr<Node>> open = std::move(inputs);
  if (base) open.push_back(std::move(base));
  while (!open.empty()) {
    std::shared_ptr<Node> n = std::move(open.back());
    open.pop_back();
    if (!n || n.use_count() > 1) continue;
    for (auto& input : n->inputs) open.push_back(std::move(input));
    n->inputs.clear();
    if (n->base) open.push_back(std::move(n->base));
  }
}

bool Gradients::wants(int i) const { return of_.inputs[size_t(i)] != nullptr; }

Target Gradients::target(int i) { return open(*of_.inputs[size_t(i)]); }

void Gradients::pass(int i, const Tensor& grad) {
  Node* node = of_.inputs[size_t(i)].get();
  if (!node) return;
  check(grad.shape() == node->shape && grad.dtype() == node->dtype,
        "autograd: the gradient of an input of ", node->dtype, " ", node->shape, " came as ",
        grad.dtype(), " ", grad.shape());
  give(*node, grad);
}

bool grad_mode() { return recording; }
GradMode::GradMode(bool on) : before_(std::exchange(recording, on)) {}
GradMode::~GradMode() { recording = before_; }

Tensor parameter(const Tensor& t) {
  Tensor leaf = t.detach();
  leaf.node = node_of(t);
  leaf.node->keep = true;
  return leaf;
}

Tensor stand_in(const Tensor& values, const Tensor& parameter) {
  check(values.shape() == parameter.shape(), "stand_in: expected ", parameter.shape(), ", got ",
        values.shape());
  return {values.storage, values.layout, parameter.node};
}

Tensor gradient(const Tensor& p) { return p.node && p.node->set ? p.node->grad : Tensor{}; }

void clear_gradient(const Tensor& p) {
  if (p.node) p.node->set = false;
}

void place_gradient(const Tensor& p, const Tensor& memory) {
  check(wants_grad(p), "place_gradient: the tensor is no parameter");
  check(memory.shape() == p.shape(), "place_gradient: expected ", p.shape(), ", got ",
        memory.shape());
  p.node->grad = memory.detach();
  p.node->set = false;
}

Tensor record(const char* op, Tensor y, const std::vector<Tensor>& inputs, Rule rule,
              const Work& work) {
  if (Observer* observer = Observer::current()) observer->saw(op, y, inputs, work);
  y.node = nullptr;
  bool any = false;
  for (const Tensor& t : inputs) any |= wants_grad(t);
  return any && recording ? put_on_tape(op, y, inputs, std::move(rule)) : y;
}

Tensor put_on_tape(const char* op, Tensor y, const std::vector<Tensor>& inputs, Rule rule) {
  y.node = node_of(y);
  y.node->op = op;
  if (Observer::current()) y.node->path = current_path();
  for (const Tensor& t : inputs) y.node->inputs.push_back(t.node);
  y.node->rule = std::move(rule);
  y.node->policy = current_policy();
  return y;
}

Tensor record_view(const char* op, Tensor y, const Tensor& x,
                   std::function<Tensor(const Tensor&)> region, bool whole) {
  y = record(op, std::move(y), {x}, nullptr);
  if (!y.node) return y;
  y.node->base = x.node;
  y.node->region = std::move(region);
  y.node->whole = whole;
  return y;
}

void backward(const Tensor& y, const Tensor& dy) {
  check(wants_grad(y), "backward: the tensor depends on no parameter");
  check(y.node->keep || y.node->rule || y.node->base,
        "backward: this tape was walked before; run the forward pass again");
  check(dy || y.size() == 1, "backward: a gradient must be given for a tensor of shape ",
        y.shape());
  check(!dy || (dy.shape() == y.shape() && dy.dtype() == y.node->dtype),
        "backward: the gradient must be ", y.node->dtype, " ", y.shape(), ", got ",
        dy ? dy.dtype() : y.dtype(), " ", dy ? dy.shape() : y.shape());
  NoGrad off_tape;
  const ProfiledRange whole("backward");
  give(*y.node, dy ? dy : full(y.shape(), 1, y.dtype(), y.device()));
  std::vector<std::shared_ptr<Node>> tape = order(y.node);
  while (!tape.empty()) {
    std::shared_ptr<Node> n = std::move(tape.back());
    tape.pop_back();
    if (n->rule && n->set) {
      Gradients to(*n);
      const Tensor dy_here = std::move(n->grad);
      n->grad = {};
      const Rule rule = std::move(n->rule);
      const PolicyScope policy(n->policy);
      const ProfiledRange range(n->op);
      rule(dy_here, to);
      show_gradients(*n);
    }
    if (n->keep) continue;
    // What the rule kept alive goes as we pass; cut links keep the tape's end from recursing.
    n->rule = nullptr;
    n->grad = {};
    n->set = false;
    n->inputs.clear();
    n->base = nullptr;
  }
}

}  // namespace kinema::engine
