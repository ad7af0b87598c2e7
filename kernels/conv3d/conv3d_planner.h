#pragma once
#include "kernels/conv3d/conv3d_plan_model.h"

// How conv3d_plan.cpp and its algorithms, each in a file conv3d_plan_ALGORITHM.cpp, find a plan: an
// algorithm offers what it could do, the best of it is kept.

namespace kinema::kernels {

/// How far the sums of a plan can be divided.
struct Conv3dCut {
  int64_t steps = 1;  ///< of the longest sum: no more splits than that
  int64_t least = 1;  ///< steps of a split that is worth its while
  int64_t bytes = 0;  ///< of workspace, for each split
};

class Conv3dChoice {
 public:
  Conv3dChoice(const Conv3dProblem&, const Gpu&, const Conv3dOverride&);

  const Conv3dProblem& problem;
  const Gpu& gpu;
  const Conv3dOverride& asked;
  const Shape y;  ///< of the problem

  /// Considers the plan, which has all but splits, workspace, waves and predicted time. Kept is
  /// what is legal, what the override asks for, and predicted to take least: of equals the first.
  /// Splits are considered where its blocks do not fill the GPU.
  void offer(const Conv3dPlan&, const Conv3dLoad&, const Conv3dCut& = {});
  /// An algorithm that makes its plan whole offers it by this.
  void offer_whole(const Conv3dPlan&, const Conv3dLoad&);

  /// What was kept. Errors: nothing was; the text says why the last that was asked for could not
  /// be.
  const Conv3dPlan& best() const;

 private:
  void offer_split(Conv3dPlan, const Conv3dLoad&, const Conv3dCut&, int splits);
  std::string refusal(const Conv3dPlan&, const Conv3dLoad&) const;

  Conv3dPlan best_, refused_;
  Conv3dLoad load_of_refused_;
  bool found_ = false, offered_ = false;
};

/// An algorithm: what it takes and what it could do.
struct Conv3dPlanner {
  Conv3dAlgorithm algorithm;
  /// What a problem lacks for it, as in "filters of one tap", or "forward" for its pass; null: it
  /// takes the problem.
  const char* (*lacks)(const Conv3dProblem&);
  void (*offer)(Conv3dChoice&);
};
extern const Conv3dPlanner conv3d_gemm_planner, conv3d_halo_planner, conv3d_pointwise_planner,
    conv3d_stem_planner, conv3d_depthwise_planner, conv3d_grouped_planner;

/// What a pass moves at least: each tensor once, of x in forward and grad_weight only what is read.
double conv3d_dram_bytes(const Conv3dProblem&, const Shape& y);

/// N*T*H*W.
inline int64_t conv3d_pixels(const Shape& s) { return s[0] * s[1] * s[2] * s[3]; }
inline int64_t conv3d_taps(const Shape& w) { return w[1] * w[2] * w[3]; }
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace kinema::kernels
