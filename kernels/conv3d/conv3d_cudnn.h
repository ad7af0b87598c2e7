#pragma once
#include <string>
#include <vector>
#include "kernels/base/backend.h"
#include "kernels/conv3d/conv3d_problem.h"

namespace kinema::kernels {

/// One of cuDNN's ways to do a pass.
struct Conv3dCudnnPlan {
  std::string name;       ///< engine and knobs, as in eng62_k2=7_k27=1
  int64_t workspace = 0;  ///< bytes
  std::string notes;      ///< what the engine says of its numbers, as in "tensor core"
};

/// At most `most` plans that may serve (docs/design.md, cuDNN), those first that cuDNN ranks best,
/// for tensors that lie as fresh ones do, without epilogue: for this thread's GPU, or the one that
/// the file `gpu` describes (bench/h200_device.json), which need not be at hand. None: cuDNN has no
/// engine. Its address is null in a program without the backend. Errors: cuDNN is missing; no GPU.
KERNELS_OPTIONAL std::vector<Conv3dCudnnPlan> conv3d_cudnn_plans(const Conv3dProblem&, int64_t most,
                                                                 const std::string& gpu = "");

/// While it lives, conv3d_cudnn runs on this thread by the plan of this rank, 0 the best ranked, as
/// conv3d_cudnn_plans counts them. Errors, when a pass runs: Unsupported where there are fewer.
class Conv3dCudnnRankScope {
 public:
  explicit Conv3dCudnnRankScope(int64_t rank) : before_(current()) {
    check(rank >= 0, "conv3d: expected a plan's rank from 0, got ", rank);
    current() = rank;
  }
  ~Conv3dCudnnRankScope() { current() = before_; }
  Conv3dCudnnRankScope(const Conv3dCudnnRankScope&) = delete;
  Conv3dCudnnRankScope& operator=(const Conv3dCudnnRankScope&) = delete;
  /// This thread's.
  static int64_t& current() {
    static thread_local int64_t rank = 0;
    return rank;
  }

 private:
  int64_t before_;
};

}  // namespace kinema::kernels
