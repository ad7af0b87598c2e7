#include "engine/ops/views.h"
#include <optional>
#include "engine/autograd.h"
#include "engine/ops/copy.h"

namespace kinema::engine {

namespace {

/// v under `shape` on the same memory, if its strides allow that.
std::optional<View> restride(const View& v, const Shape& shape) {
  View r = v;
  r.shape = shape;
  r.strides = {};
  r.tail = 0;
  int from = v.shape.rank - 1, to = shape.rank - 1;
  // Walks both shapes from the innermost axis; each group of axes with equal products must be one
  // uniform run in v.
  int64_t stride = 1;
  bool innermost = true;
  while (to >= 0) {
    const int first_to = to;
    while (from >= 0 && v.shape[from] == 1) --from;
    stride = from >= 0 ? v.stride(from) : stride;
    int64_t have = from >= 0 ? v.shape[from] : 1, want = shape[to];
    const int last_from = from;
    if (from >= 0) --from;
    while (have != want) {
      if (have < want) {
        while (from >= 0 && v.shape[from] == 1) --from;
        if (from < 0 || v.stride(from) != stride * have) return std::nullopt;
        have *= v.shape[from--];
      } else {
        if (--to < 0) return std::nullopt;
        want *= shape[to];
      }
    }
    // Ones on the outside of the new shape join the last group.
    int64_t s = stride;
    for (int a = first_to; a >= to; --a) {
      r.strides[size_t(a)] = s;
      s *= shape[a];
    }
    if (innermost && stride != 1 && shape[first_to] != 1) return std::nullopt;
    if (innermost) r.strides[size_t(shape.rank - 1)] = 1;
    if (innermost && shape[-1] == v.shape[-1] && last_from == v.shape.rank - 1) r.tail = v.tail;
    innermost = false;
    --to;
  }
  return r;
}

/// The tensor that the parts already are, if they are neighbours along `axis` in one storage.
Tensor joined(const std::vector<Tensor>& parts, int axis, const Shape& shape) {
  const Tensor& first = parts.front();
  if (!first.layout.data) return {};
  View whole = first.layout;
  whole.shape = shape;
  int64_t offset = 0;
  for (const Tensor& p : parts) {
    const int64_t bytes = offset * whole.stride(axis) * kernels::size_of(p.dtype());
    if (p.storage != first.storage || p.layout.strides != whole.strides ||
        p.layout.data != static_cast<char*>(whole.data) + bytes)
      return {};
    offset += p.shape(axis);
  }
  // Behind the last channel of a fresh tensor of this shape lie its own zero lanes.
  if (axis == shape.rank - 1) {
    const View fresh = kernels::fresh_layout(whole.dtype, shape);
    const bool owner = fresh.strides == whole.strides && whole.data == first.storage->data();
    whole.tail = owner ? fresh.tail : 0;
  }
  return {first.storage, whole, nullptr};
}

}  // namespace

Tensor slice(const Tensor& x, int axis, int64_t start, int64_t length, int64_t step) {
  if (axis < 0) axis += x.rank();
  Tensor y{x.storage, x.layout.slice(axis, start, length, step), nullptr};
  auto region = [=](const Tensor& g) {
    return Tensor{g.storage, g.layout.slice(axis, start, length, step), nullptr};
  };
  return record_view("slice", y, x, region, length == x.shape(axis));
}

Tensor reshape(const Tensor& x, const Shape& shape) {
  check(shape.size() == x.size(), "reshape: ", x.shape(), " has ", x.size(), " elements, ", shape,
        " has ", shape.size());
  if (shape == x.shape()) return x;
  std::optional<View> view = restride(x.layout, shape);
  if (x.size() == 0) view = kernels::fresh_layout(x.dtype(), shape);
  if (view) {
    auto region = [shape](const Tensor& g) {
      std::optional<View> same = restride(g.layout, shape);
      return same ? Tensor{g.storage, *same, nullptr} : Tensor{};
    };
    // The gradient is laid out afresh: it can be a view only if that layout allows one too.
    const View fresh = kernels::fresh_layout(x.dtype(), x.shape());
    if (!x.node || !grad_mode() || (x.size() && restride(fresh, shape)))
      return record_view("reshape", {x.storage, *view, nullptr}, x, region, true);
  }
  Tensor y = empty(shape, x.dtype(), x.device());
  // Either side may be seen under the other's shape: one pass, whichever it is.
  if (std::optional<View> as_x = restride(y.layout, x.shape())) {
    copy(x, {y.storage, *as_x, nullptr});
    if (as_x->tail != y.layout.tail) zero_tail(y);
  } else {
    Tensor dense = empty({x.size()}, x.dtype(), x.device());
    copy(x, {dense.storage, *restride(dense.layout, x.shape()), nullptr});
    copy({dense.storage, *restride(dense.layout, shape), nullptr}, y);
  }
  count_packed(y);
  return record("reshape", y, {x}, [shape = x.shape()](const Tensor& dy, Gradients& to) {
    to.pass(0, reshape(dy, shape));
  });
}

Tensor permute(const Tensor& x, const std::vector<int>& order) {
  check(int(order.size()) == x.rank() && order.back() == x.rank() - 1,
        "permute: the order must name all ", x.rank(), " axes and keep the last");
  auto apply = [order](const Tensor& t) {
    Tensor p = t.detach();
    for (size_t a = 0; a < order.size(); ++a) {
      p.layout.shape.dim[a] = t.shape(order[a]);
      p.layout.strides[a] = t.layout.stride(order[a]);
    }
    return p;
  };
  return record_view("permute", apply(x), x, apply, true);
}

Tensor concat(const std::vector<Tensor>& parts, int axis) {
  check(!parts.empty(), "concat: at least one part is needed");
  const Tensor& first = parts.front();
  if (axis < 0) axis += first.rank();
  Shape shape = first.shape();
  shape[axis] = 0;
  for (const Tensor& p : parts) {
    Shape other = p.shape();
    check(other.rank == shape.rank && p.dtype() == first.dtype(), "concat: parts must agree, got ",
          first.dtype(), " ", first.shape(), " and ", p.dtype(), " ", p.shape());
    shape[axis] += other[axis];
    other[axis] = 0;
    Shape rest = shape;
    rest[axis] = 0;
    check(other == rest, "concat: parts must agree but for axis ", axis, ", got ", first.shape(),
          " and ", p.shape());
  }
  Tensor whole = joined(parts, axis, shape);
  if (!whole) {
    whole = empty(shape, first.dtype(), first.device());
    int64_t at = 0;
    for (const Tensor& p : parts) {
      copy(p, {whole.storage, whole.layout.slice(axis, at, p.shape(axis)), nullptr});
      at += p.shape(axis);
    }
  }
  zero_tail(whole);  // no part owned those lanes
  std::vector<int64_t> lengths;
  for (const Tensor& p : parts) lengths.push_back(p.shape(axis));
  return record("concat", whole, parts, [lengths, axis](const Tensor& dy, Gradients& to) {
    int64_t at = 0;
    for (size_t i = 0; i < lengths.size(); at += lengths[i++])
      to.pass(int(i), {dy.storage, dy.layout.slice(axis, at, lengths[i]), nullptr});
  });
}

}  // namespace kinema::engine
