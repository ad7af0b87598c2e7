#include "engine/optim/schedule.h"
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include "kernels/base/error.h"

namespace kinema::engine::optim {

namespace {

constexpr const char* kind_name[] = {"constant", "step", "cosine"};

/// The rate without warm-up.
double course(const Schedule& s, int64_t step) {
  switch (s.kind) {
    case Schedule::Kind::constant:
      return s.rate;
    case Schedule::Kind::step: {
      const auto passed = std::count_if(s.milestones.begin(), s.milestones.end(),
                                        [=](int64_t milestone) { return milestone <= step; });
      return s.rate * std::pow(s.factor, double(passed));
    }
    case Schedule::Kind::cosine: {
      const double done = double(std::min(step, s.steps)) / double(s.steps);
      return s.floor + (s.rate - s.floor) * (1 + std::cos(std::numbers::pi * done)) / 2;
    }
  }
  return s.rate;
}

Schedule::Kind kind_of(const std::string& name) {
  for (int i = 0; i < 3; ++i)
    if (name == kind_name[i]) return Schedule::Kind(i);
  kernels::fail("schedule: kind must be constant, step or cosine, got \"", name, "\"");
}

/// Takes one field of `settings`; false if the schedule has none of this name.
bool take(Schedule& s, const std::string& field, const nlohmann::json& value) {
  if (field == "kind") return s.kind = kind_of(value.get<std::string>()), true;
  if (field == "rate") return value.get_to(s.rate), true;
  if (field == "factor") return value.get_to(s.factor), true;
  if (field == "milestones") return value.get_to(s.milestones), true;
  if (field == "steps") return value.get_to(s.steps), true;
  if (field == "floor") return value.get_to(s.floor), true;
  if (field == "warmup") return value.get_to(s.warmup), true;
  if (field == "warmup_rate") return value.get_to(s.warmup_rate), true;
  return false;
}

}  // namespace

double Schedule::operator()(int64_t step) const {
  if (step >= warmup) return course(*this, step);
  const double way = double(step + 1) / double(warmup + 1);
  return warmup_rate + (course(*this, warmup) - warmup_rate) * way;
}

void Schedule::check() const {
  kernels::check(rate >= 0 && floor >= 0 && warmup_rate >= 0 && factor >= 0,
                 "schedule: rates and factor must not be negative, got rate ", rate, ", floor ",
                 floor, ", warmup_rate ", warmup_rate, ", factor ", factor);
  kernels::check(warmup >= 0, "schedule: warmup must not be negative, got ", warmup);
  kernels::check(kind != Kind::cosine || steps >= 1,
                 "schedule: a cosine needs the steps of the run, got ", steps);
}

nlohmann::json to_json(const Schedule& s) {
  nlohmann::json j = {{"kind", kind_name[int(s.kind)]}, {"rate", s.rate}};
  if (s.kind == Schedule::Kind::step)
    j.update({{"factor", s.factor}, {"milestones", s.milestones}});
  if (s.kind == Schedule::Kind::cosine) j.update({{"steps", s.steps}, {"floor", s.floor}});
  if (s.warmup) j.update({{"warmup", s.warmup}, {"warmup_rate", s.warmup_rate}});
  return j;
}

Schedule schedule_from(const nlohmann::json& settings) {
  kernels::check(settings.is_object(), "schedule: expected an object, got ", settings.dump());
  Schedule s;
  for (const auto& [field, value] : settings.items()) {
    bool known = false;
    try {
      known = take(s, field, value);
    } catch (const nlohmann::json::exception&) {
      kernels::fail("schedule: ", field, " has a value of the wrong type: ", value.dump());
    }
    kernels::check(known, "schedule: there is no field \"", field, "\"");
  }
  s.check();
  return s;
}

}  // namespace kinema::engine::optim
