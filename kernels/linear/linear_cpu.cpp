// Three products of oneDNN's sgemm, which takes any pitch. Its result may depend on the number of
// threads, by which it cuts long sums; it does not vary from run to run. bf16 and f16 are converted
// to f32 around it: of the weights some rows at a time.
#include <dnnl.h>
#include <algorithm>
#include "kernels/base/parallel.h"
#include "kernels/copy/copy_in_f32.h"
#include "kernels/linear/linear.h"
#include "kernels/reduce/reduce.h"

namespace kinema::kernels {

namespace {

/// Elements between rows, as sgemm wants it: a single row may have any stride.
int64_t pitch(const View& v) {
  check(v.shape[0] <= 1 || v.stride(0) >= v.shape[1], "linear: rows must not overlap, got a pitch ",
        v.stride(0), " for ", v.shape);
  return std::max<int64_t>({v.stride(0), v.shape[1], 1});
}

/// c = op(a) op(b), or c += with `accumulate`; op transposes where the letter is T.
void multiply(char ta, char tb, int64_t depth, const View& a, const View& b, const View& c,
              bool accumulate) {
  if (!c.size()) return;
  if (depth) {
    const dnnl_status_t status = dnnl_sgemm(
        ta, tb, c.shape[0], c.shape[1], depth, 1.f, data<const float>(a), pitch(a),
        data<const float>(b), pitch(b), accumulate ? 1.f : 0.f, data<float>(c), pitch(c));
    check(status == dnnl_success, "linear: oneDNN's sgemm failed with status ", int(status));
  }
  for (int64_t r = 0; r < c.shape[0]; ++r) {
    float* row = data<float>(c) + r * c.stride(0);
    if (!depth && !accumulate) std::fill_n(row, c.shape[1], 0.f);
    std::fill_n(row + c.shape[1], c.tail, 0.f);
  }
}

/// f(first, rows in f32) over the rows of w; all of them at once where they are f32.
template <class F>
void each_part(const View& w, const F& f) {
  constexpr int64_t most_elements = 4 << 20;  // 16 MiB of f32
  const int64_t some = std::max<int64_t>(most_elements / std::max<int64_t>(w.shape[1], 1), 1);
  const int64_t step = w.dtype == Dtype::f32 ? std::max<int64_t>(w.shape[0], 1) : some;
  int64_t first = 0;
  do {
    const InF32 rows(w.slice(0, first, std::min(step, w.shape[0] - first)), InF32::load);
    f(first, rows.view);
    first += step;
  } while (first < w.shape[0]);
}

/// y = relu(y + bias).
void finish(const View& y, const LinearEpilogue& e) {
  if (!y.size() || (!e.bias && !e.relu)) return;
  const int64_t out = y.shape[1];
  const float* bias = e.bias ? data<const float>(e.bias) : nullptr;
  parallel_for(y.shape[0], std::max<int64_t>(1, 16384 / out), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* row = data<float>(y) + r * y.stride(0);
      for (int64_t k = 0; bias && k < out; ++k) row[k] += bias[k];
      for (int64_t k = 0; e.relu && k < out; ++k) row[k] = row[k] < 0 ? 0 : row[k];
    }
  });
}

/// Lanes behind a slice of columns: zero already, or owned by it.
View columns(const View& v, int64_t first, int64_t count) {
  View part = v.slice(1, first, count);
  if (first + count == v.shape[1]) part.tail = v.tail;
  return part;
}

void forward(Stream, const LinearOptions&, View x, View w, View y, const LinearEpilogue& e) {
  check_linear(x, w, y, e);
  const InF32 from(x, InF32::load), to(y, InF32::leave);
  each_part(w, [&](int64_t first, const View& rows) {
    multiply('N', 'T', x.shape[1], from.view, rows, columns(to.view, first, rows.shape[0]), false);
  });
  finish(to.view, e);
  to.store(y);
}

void grad_input(Stream, const LinearOptions&, View dy, View w, View dx, bool accumulate) {
  check_linear(dx, w, dy);
  const bool rounded = is_narrow(dx.dtype);
  const InF32 from(dy, InF32::load), to(dx, InF32::leave);
  each_part(w, [&](int64_t first, const View& rows) {
    multiply('N', 'N', rows.shape[0], columns(from.view, first, rows.shape[0]), rows, to.view,
             first > 0 || (accumulate && !rounded));
  });
  to.store(dx, accumulate);
}

void grad_weight(Stream, const LinearOptions&, View x, View dy, View dw, bool accumulate) {
  check_linear_weight(x, dy, dw);
  const InF32 from(x, InF32::load), grad(dy, InF32::load);
  multiply('T', 'N', x.shape[0], grad.view, from.view, dw, accumulate);
}

void grad_bias(Stream stream, View dy, View db, bool accumulate) {
  check_linear_bias(dy, db);
  View row = db;  // db as [1,out]
  row.shape = {1, db.shape[0]};
  row.strides = {db.shape[0], 1};
  ReduceOptions over_rows;
  over_rows.axes[0] = true;
  reduce_cpu.forward(stream, over_rows, dy, row, accumulate);
}

}  // namespace

const Linear linear_cpu = {.forward = forward,
                           .grad_input = grad_input,
                           .grad_weight = grad_weight,
                           .grad_bias = grad_bias};

}  // namespace kinema::kernels
