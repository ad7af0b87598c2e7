#include "engine/recompute.h"
#include <optional>
#include <utility>
#include "engine/autograd.h"
#include "engine/ops/copy.h"
#include "engine/random.h"

namespace kinema::engine {

namespace {

using Segment = std::function<Tensor(const Tensor&)>;

thread_local bool running_again = false;

class Again {
 public:
  Again() : before_(std::exchange(running_again, true)) {}
  ~Again() { running_again = before_; }
  Again(const Again&) = delete;
  Again& operator=(const Again&) = delete;

 private:
  bool before_;
};

/// What the first run of a segment found on its thread, but for the policy, which the tape keeps.
struct Circumstances {
  std::string path = current_path();
  std::optional<RandomState> draws = random_state();
  Device device = current_device();
};

Tensor run_again(const Segment& f, const Tensor& x, const Circumstances& then) {
  const Again again;
  const GradMode on_tape(true);
  const PathScope path(then.path);
  const DeviceScope device(then.device);
  std::optional<RandomScope> draws;
  if (then.draws) draws.emplace(*then.draws);
  return f(x);
}

}  // namespace

bool recomputing() { return running_again; }

Tensor recomputed(const Segment& f, const Tensor& x) {
  if (!grad_mode()) return f(x);
  const Circumstances then;
  Tensor y;
  {
    NoGrad off_tape;
    y = f(x.detach());
  }
  auto rule = [f, x = x.detach(), then](const Tensor& dy, Gradients& to) {
    const Tensor leaf = to.wants(0) ? parameter(x) : x;
    const Tensor y_again = run_again(f, leaf, then);
    Target dx;
    if (leaf.node) {
      // The rules of the segment write, or add, where the gradient of x is wanted.
      dx = to.target(0);
      place_gradient(leaf, dx.grad);
      leaf.node->set = dx.accumulate;
    }
    if (y_again.node) backward(y_again, dy);
    if (leaf.node && !leaf.node->set) fill(dx.grad, 0);
  };
  return put_on_tape("recomputed", y, {x}, rule);
}

}  // namespace kinema::engine
