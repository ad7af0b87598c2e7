// Three products of oneDNN's sgemm, which takes any pitch. Its result may depend on the number of
// threads, by which it cuts long sums; it does not vary from run to run.
#include <dnnl.h>
#include <algorithm>
#include "kernels/base/parallel.h"
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

void forward(Stream, View x, View w, View y, const LinearEpilogue& e) {
  check_linear(x, w, y, e);
  multiply('N', 'T', x.shape[1], x, w, y, false);
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

void grad_input(Stream, View dy, View w, View dx, bool accumulate) {
  check_linear(dx, w, dy);
  multiply('N', 'N', dy.shape[1], dy, w, dx, accumulate);
}

void grad_weight(Stream, View x, View dy, View dw, bool accumulate) {
  check_linear(x, dw, dy);
  multiply('T', 'N', x.shape[0], dy, x, dw, accumulate);
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
