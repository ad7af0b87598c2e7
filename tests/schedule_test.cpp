#include "engine/optim/schedule.h"
#include <nlohmann/json.hpp>
#include "tests/support/check.h"

namespace kinema::test {
namespace {

using optim::Schedule;

TEST(Schedule, ConstantStaysAsItIs) {
  const Schedule s{.rate = 0.3};
  for (int64_t step : {0, 1, 100000}) EXPECT_EQ(s(step), 0.3);
}

TEST(Schedule, StepsFallAtTheirMilestones) {
  const Schedule s{
      .kind = Schedule::Kind::step, .rate = 8, .factor = 0.5, .milestones = {10, 20, 20}};
  EXPECT_EQ(s(0), 8);
  EXPECT_EQ(s(9), 8);
  EXPECT_EQ(s(10), 4);
  EXPECT_EQ(s(19), 4);
  EXPECT_EQ(s(20), 1);
  EXPECT_EQ(s(1000), 1);
}

TEST(Schedule, CosineFallsToItsFloor) {
  const Schedule s{.kind = Schedule::Kind::cosine, .rate = 1, .steps = 100, .floor = 0.2};
  EXPECT_EQ(s(0), 1);
  EXPECT_NEAR(s(25), 0.2 + 0.8 * (1 + std::sqrt(0.5)) / 2, 1e-12);
  EXPECT_NEAR(s(50), 0.6, 1e-12);
  EXPECT_NEAR(s(100), 0.2, 1e-12);
  EXPECT_NEAR(s(500), 0.2, 1e-12);
}

TEST(Schedule, WarmUpRisesInALineToAnyCourse) {
  const Schedule flat{.rate = 1, .warmup = 4};
  for (int64_t step = 0; step < 6; ++step)
    EXPECT_NEAR(flat(step), std::min(1., double(step + 1) / 5), 1e-12) << step;
  const Schedule cosine{
      .kind = Schedule::Kind::cosine, .rate = 1, .steps = 20, .warmup = 10, .warmup_rate = 0.1};
  EXPECT_NEAR(cosine(10), 0.5, 1e-12);
  EXPECT_NEAR(cosine(0), 0.1 + 0.4 / 11, 1e-12);
  EXPECT_NEAR(cosine(9), 0.1 + 0.4 * 10 / 11, 1e-12);
}

TEST(Schedule, JsonGoesThereAndBack) {
  const std::vector<Schedule> all = {
      {.rate = 0.3},
      {.kind = Schedule::Kind::step, .rate = 8, .factor = 0.5, .milestones = {10, 20}},
      {.kind = Schedule::Kind::cosine,
       .steps = 50,
       .floor = 0.01,
       .warmup = 5,
       .warmup_rate = 0.02}};
  for (const Schedule& s : all) {
    const Schedule back = optim::schedule_from(nlohmann::json::parse(optim::to_json(s).dump()));
    for (int64_t step = 0; step < 60; ++step) EXPECT_EQ(back(step), s(step));
  }
  EXPECT_EQ(optim::to_json(all[0]).dump(), R"({"kind":"constant","rate":0.3})");
}

TEST(Schedule, RefusesWhatHasNoMeaning) {
  auto says = [](const char* text) {
    return refusal([&] { optim::schedule_from(nlohmann::json::parse(text)); });
  };
  EXPECT_EQ(says(R"({"kind": "linear"})"),
            "schedule: kind must be constant, step or cosine, got \"linear\"");
  EXPECT_EQ(says(R"({"gamma": 1})"), "schedule: there is no field \"gamma\"");
  EXPECT_EQ(says(R"({"rate": "high"})"), "schedule: rate has a value of the wrong type: \"high\"");
  EXPECT_EQ(says(R"({"kind": "cosine"})"), "schedule: a cosine needs the steps of the run, got 0");
  EXPECT_EQ(says(R"({"warmup": -1})"), "schedule: warmup must not be negative, got -1");
  EXPECT_EQ(says(R"({"rate": -1})"),
            "schedule: rates and factor must not be negative, got rate -1, floor 0, warmup_rate 0, "
            "factor 0.1");
  EXPECT_EQ(says("[]"), "schedule: expected an object, got []");
}

}  // namespace
}  // namespace kinema::test
