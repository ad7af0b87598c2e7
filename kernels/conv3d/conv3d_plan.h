#pragma once
#include <ostream>
#include "kernels/base/gpu.h"
#include "kernels/conv3d/conv3d_problem.h"

namespace kinema::kernels {

/// The kernels that a pass of conv3d is done by on a device. `gemm` takes everything, the others
/// what their files say.
enum class Conv3dAlgorithm : uint8_t {
  gemm,       ///< implicit matrix product, operands gathered tap by tap
  halo,       ///< the same, taps read a tile of pixels that shared memory holds with its halo
  pointwise,  ///< 1x1x1
  stem,       ///< at most 4 channels in, dense
  depthwise,  ///< one channel a group
  grouped,    ///< few channels a group
};
inline constexpr int conv3d_algorithms = 6;
constexpr const char* name_of(Conv3dAlgorithm a) {
  constexpr const char* names[] = {"gemm", "halo", "pointwise", "stem", "depthwise", "grouped"};
  return names[int(a)];
}

/// How a pass runs: the kernel, its tile and how the work is divided. A function of problem and GPU
/// alone; results are the same bits as long as it is.
struct Conv3dPlan {
  Conv3dAlgorithm algorithm = Conv3dAlgorithm::gemm;
  int rows = 0, columns = 0;    ///< of the tile of sums that a block makes
  int depth = 0;                ///< products a stage holds for each sum
  int stages = 0;               ///< of the pipeline that fills shared memory
  int splits = 1;               ///< parts that each sum is divided into
  int64_t tiles = 0;            ///< blocks, splits not counted
  int64_t pixel_tiles = 0;      ///< tiles of one group and one run of columns
  int threads = 0;              ///< of a block
  int64_t shared_bytes = 0;     ///< dynamic shared memory of a block
  int64_t workspace_bytes = 0;  ///< partial sums; at most conv3d_most_workspace
  std::array<int, 3> box = {};  ///< halo, stem: pixels of a tile along t, h, w
  int buffers = 0;              ///< halo: copies of a tile's pixels in shared memory
  double waves = 0;             ///< tiles * splits over the blocks that run at once
  double predicted_us = 0;      ///< by the model of docs/design.md; never measured
};
inline constexpr int64_t conv3d_most_workspace = 64 << 20;

/// What to choose in place of the plan's own choice; 0 (algorithm: -1) leaves it to the plan.
struct Conv3dOverride {
  int algorithm = -1, columns = 0, stages = 0, splits = 0;
  bool operator==(const Conv3dOverride&) const = default;
};

/// The plan of least predicted time among those that the override leaves. Every problem whose
/// tensors are not empty has one. Takes some microseconds: a pass plans at each call.
/// Errors: an override of what the problem or the GPU does not allow.
Conv3dPlan conv3d_plan(const Conv3dProblem&, const Gpu&, const Conv3dOverride& = {});

/// Overrides every plan that this thread runs a pass by while it lives: for tests and tuning.
class Conv3dPlanScope {
 public:
  explicit Conv3dPlanScope(const Conv3dOverride&);
  ~Conv3dPlanScope();
  Conv3dPlanScope(const Conv3dPlanScope&) = delete;
  Conv3dPlanScope& operator=(const Conv3dPlanScope&) = delete;
  static const Conv3dOverride& current();

 private:
  Conv3dOverride before_;
};

/// The plan that a pass runs by: under this thread's scope, else under the process's file
/// (Conv3dPlanFileScope), else the plan's own.
Conv3dPlan conv3d_current_plan(const Conv3dProblem&, const Gpu&);

/// One line: algorithm and tile, stages, splits, blocks and waves, predicted time, workspace.
std::ostream& operator<<(std::ostream&, const Conv3dPlan&);

}  // namespace kinema::kernels
