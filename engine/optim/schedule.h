#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <vector>

namespace kinema::engine::optim {

/// The learning rate of each step: a pure function of the step's number, counted from 0.
///   constant  rate
///   step      rate * factor^(how many milestones are at or before the step)
///   cosine    floor + (rate - floor) * (1 + cos(pi * step / steps)) / 2, floor from `steps` on
///             Source: Loshchilov and Hutter, SGDR, arXiv:1608.03983, eq. 5.
/// The first `warmup` steps rise in a line from near warmup_rate to the course's rate at step
/// `warmup`: step s lies at (s + 1) / (warmup + 1) of the way, so that none is lost at rate 0.
/// Source: Goyal et al., arXiv:1706.02677, section 2.2.
struct Schedule {
  enum class Kind : uint8_t { constant, step, cosine };

  Kind kind = Kind::constant;
  double rate = 0.1;
  double factor = 0.1;                ///< step
  std::vector<int64_t> milestones{};  ///< step: numbers of steps
  int64_t steps = 0;                  ///< cosine: of the whole run
  double floor = 0;                   ///< cosine
  int64_t warmup = 0;                 ///< steps
  double warmup_rate = 0;

  /// The rate of step number `step` >= 0.
  double operator()(int64_t step) const;
  /// Throws Error unless rates are not negative, and a cosine has steps.
  void check() const;
};

/// The fields above by name, "kind" as text; those that the kind does not read are left out.
nlohmann::json to_json(const Schedule& schedule);
/// Fields that are missing keep their defaults.
/// Errors: an unknown field or kind; a value of another type; Schedule::check()'s.
Schedule schedule_from(const nlohmann::json& settings);

}  // namespace kinema::engine::optim
