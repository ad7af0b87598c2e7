#pragma once
#include <gtest/gtest.h>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>
#include "kernels/base/backend.h"
#include "kernels/base/runtime.h"
#include "kernels/base/view.h"

// What tests of device code share. It needs neither engine nor oneDNN, so that the same tests are
// linked with the kernels that nvcc has made and run on a GPU.

namespace kinema::test {

using kernels::Backend, kernels::Dtype, kernels::Shape, kernels::Stream, kernels::View;

/// One way to run device code: on the emulation by some schedule and GPU, or on a GPU. `enter`
/// makes it so for the time that the pointer lives.
struct DeviceRun {
  std::string name;
  Backend backend = Backend::emulated;
  const kernels::Runtime* runtime = nullptr;
  std::string group;  ///< runs of one group give the same bits
  std::function<std::shared_ptr<void>()> enter;
};
const std::vector<DeviceRun>& device_runs();

/// So many runs on the emulation by random priorities; none on a GPU.
std::vector<DeviceRun> random_runs(int count);

/// True where a test should be small: the race detector watches.
bool small();

/// Bytes of global memory that `work`'s launches read and write, each access counted; nothing where
/// they are not counted, which is everywhere but under the race detector.
struct Traffic {
  int64_t read = 0, written = 0;
};
std::optional<Traffic> traffic(const std::function<void()>& work);

/// Rows of ldmatrix that met in a bank of shared memory while `work` ran; 0 on a GPU, which does
/// not say.
int64_t bank_conflicts(const std::function<void()>& work);

inline constexpr Dtype device_types[] = {Dtype::f32, Dtype::bf16, Dtype::f16};

/// The distance from 1 to the next number.
double epsilon_of(Dtype);

/// How a view lies in its memory: as fresh tensors do; as channels [3, 3 + C) of a wider tensor,
/// which leaves no row aligned; [8, 8 + C) of one, which leaves them aligned for 16-bit types and
/// f32; or every other element of the leading axes that the tensor has beside H, W and C.
enum class Layout { fresh, odd_slice, slice, strided };

/// A tensor on the host with the memory that it lies in. What is not its own, neighbours of a slice
/// say, holds a mark.
struct Array {
  View view;
  std::shared_ptr<std::vector<char>> memory;
  int64_t offset = 0;  ///< bytes from the start of the memory to the view's first element

  /// NaN (integers: all bits set) throughout, its zero lanes too: what a producer must overwrite.
  Array(const Shape&, Dtype, Layout = Layout::fresh);
  Array clone() const;
  /// The view's elements in order.
  std::vector<double> values() const;
  void set(const std::vector<double>&);
};

/// Uniform in [low, high), the same for the same seed; its zero lanes are zero.
Array random_array(const Shape&, Dtype = Dtype::f32, uint64_t seed = 1, double low = -1,
                   double high = 1, Layout = Layout::fresh);
Array filled_array(const Shape&, Dtype, const std::vector<double>&, Layout = Layout::fresh);

/// max|a - b| / max|b|; infinite where only one of two elements is NaN, or infinities differ.
double error(const Array& a, const Array& b);

/// All device_runs(), each twice, that the same run may be seen to give the same bits; small():
/// once.
std::vector<DeviceRun> every_run_twice();

/// What a pass does with its tensors.
using Pass = std::function<void(Stream, const std::vector<View>&)>;

/// Runs `pass` on copies of `arrays` in memory of the run's device, each exactly as large as its
/// memory, and gives back what they hold then.
std::vector<Array> on_device(const DeviceRun&, const std::vector<Array>& arrays, const Pass& pass);
/// Likewise on copies on the host.
std::vector<Array> on_host(const std::vector<Array>& arrays, const Pass& pass);

/// For arrays that a pass reads and must not change.
inline constexpr double input = -1;

/// Holds a pass of device code against the reference in every run: `bounds[i]` is by how much
/// arrays[i] may err (see error), to which narrow types add one unit in the last place; `input`
/// where not a byte may change. Nothing outside of an output's elements may change but its zero
/// lanes, which must be zero. Runs of one group must agree bit for bit.
void expect_matches(const std::vector<Array>& arrays, const Pass& reference,
                    const std::function<Pass(const DeviceRun&)>& device,
                    const std::vector<double>& bounds, const std::string& what,
                    const std::vector<DeviceRun>& runs = every_run_twice());

/// The same for a contract: `pass(op)` gives the pass of one backend.
template <class Op, class F>
void expect_op_matches(const Op& reference, const Op* cuda, const Op* emulated,
                       const std::vector<Array>& arrays, const F& pass,
                       const std::vector<double>& bounds, const std::string& what) {
  const auto device = [&](const DeviceRun& run) -> Pass {
    const Op* op = run.backend == Backend::cuda ? cuda : emulated;
    if (!op) kernels::fail(what, ": not linked on ", run.name);
    return pass(*op);
  };
  expect_matches(arrays, pass(reference), device, bounds, what);
}

/// Under the race detector, which counts: `pass` reads and writes within 10 % of the bytes that it
/// cannot do without, as its contract states them. Elsewhere nothing is asserted.
void expect_traffic(const std::vector<Array>& arrays, const Pass& pass, const Traffic& floor,
                    const std::string& what);

/// The text of the Error that f throws; "" if it throws none.
std::string refusal_of(const std::function<void()>& f);

}  // namespace kinema::test
