#pragma once
#include "tests/support/device_check.h"

// What tests of tensors past 2^32 elements share, which no host holds.

namespace kinema::test {

/// A tensor in device memory, [rows, channels...], too large for the host.
class Large {
 public:
  Large(const DeviceRun& run, Shape shape, Dtype dtype) : runtime_(*run.runtime) {
    view = kernels::fresh_layout(dtype, shape);
    memory_ = {runtime_.allocate(span(view) * size_of(dtype)), runtime_.release};
    view.data = memory_.get();
  }
  View view;

  /// Elements [first, first + count) of axis 0.
  View part(int64_t first, int64_t count) const { return view.slice(0, first, count); }
  void set(int64_t first, const Array& values) const {
    runtime_.upload({}, values.view.data, part(first, values.view.shape[0]).data,
                    int64_t(values.memory->size()));
  }
  Array get(int64_t first, int64_t count) const {
    Shape shape = view.shape;
    shape[0] = count;
    Array values(shape, view.dtype);
    runtime_.download({}, part(first, count).data, values.view.data,
                      int64_t(values.memory->size()));
    return values;
  }

 private:
  const kernels::Runtime& runtime_;
  std::shared_ptr<void> memory_;
};

/// Where to look along an axis of `size`: at its ends, and on both sides of 2^31 and 2^32 elements,
/// which are half of it and nearly all.
inline std::vector<int64_t> places(int64_t size, int64_t count) {
  return {0, size / 2 - count / 2, size - 2 * count, size - count};
}

/// The columns of a matrix that a pass is about.
struct Columns {
  int64_t first = 0, count = 0;
  View of(const View& v) const { return count ? v.slice(-1, first, count) : v; }
};

/// Sets random values at `places` of `inputs`, runs the pass, and holds what it leaves there in
/// `columns` of `output` against `reference` of the same values alone.
inline void expect_right(const std::vector<const Large*>& inputs, const Large& output,
                         const std::function<void()>& pass, const Pass& reference, double bound,
                         const Columns& columns = {}) {
  const int64_t count = 2;
  std::vector<std::vector<Array>> chosen;
  for (int64_t at : places(output.view.shape[0], count)) {
    std::vector<Array> values;
    for (const Large* in : inputs) {
      Shape shape = in->view.shape;
      shape[0] = count;
      values.push_back(random_array(shape, in->view.dtype, uint64_t(at) + values.size()));
      in->set(at, values.back());
    }
    Shape shape = output.view.shape;
    shape[0] = count;
    values.emplace_back(shape, output.view.dtype);
    chosen.push_back(std::move(values));
  }
  pass();
  size_t next = 0;
  for (int64_t at : places(output.view.shape[0], count)) {
    Array wanted = on_host(chosen[next++], reference).back(), got = output.get(at, count);
    wanted.view = columns.of(wanted.view);
    got.view = columns.of(got.view);
    const double rounding =
        kernels::is_narrow(wanted.view.dtype) ? epsilon_of(wanted.view.dtype) : 0;
    EXPECT_LE(error(got, wanted), bound + rounding) << "at " << at;
  }
}

/// The contract of the run's backend.
template <class Op>
const Op& op_of(const DeviceRun& run, const Op* cuda, const Op* emulated) {
  return run.backend == Backend::cuda ? *cuda : *emulated;
}

}  // namespace kinema::test
