#include "tools/compare/contest.h"
#include "tools/compare/clock.h"
#include "tools/compare/judge.h"

namespace kinema::tools::compare {

namespace {

Row row_of(const Trials& trials, const Trial& t, const Contender& c) {
  return {.operation = trials.operation,
          .pass = t.pass,
          .dtype = name_of(t.precision),
          .shape = t.shape,
          .name = t.name,
          .backend = c.name,
          .reason = t.reason,
          .flop = t.flop,
          .bytes = double(t.bytes()),
          .floor = t.floor()};
}

/// Runs the pass once and fills in what is found. False where there is no result.
bool check_result(const Judge& judge, const Trial& t, const void* op, Backend b, Row& row) {
  const std::vector<Array> before = operands_of(t, b);
  const Tensors tensors(before, b);
  try {
    t.run(op, {}, tensors.views());
  } catch (const kernels::Error& e) {
    row.state = b == Backend::cudnn ? Row::State::refused : Row::State::wrong;
    row.note = e.what();
    return false;
  }
  const Judge::Verdict v = judge.verdict(before, tensors.download());
  row.state = v.fault.empty() ? Row::State::right : Row::State::wrong;
  row.note = v.fault;
  row.error = v.error;
  row.bound = v.bound;
  return true;
}

std::string plan_of(const Trial& t, Backend b) {
  const kernels::Runtime* runtime = runtime_of(b);
  if (b == Backend::reference) return "plain loops, sums in double";
  if (!runtime) return "oneDNN where it has the operation, else vectorised loops";
  if (b == Backend::cudnn || !t.plan) return "";
  return t.plan(runtime->gpu());
}

/// Whether what happens on a backend says something about its speed.
bool can_be_timed(Backend b) { return b != Backend::emulated && b != Backend::reference; }

}  // namespace

Contender contender_of(Backend b) {
  return {kernels::name_of(b), b, [b](const Trials& t) { return t.constant(b); }};
}

std::vector<Row> contest(const Trials& trials, const Trial& t,
                         const std::vector<Contender>& contenders, const ContestOptions& options) {
  const Judge judge(trials, t);
  std::vector<Row> rows;
  std::vector<size_t> timed;
  std::vector<std::pair<const void*, Backend>> who;
  for (const Contender& c : contenders) {
    const void* const op = c.constant(trials);
    if (!op || !t.offers(op)) continue;
    rows.push_back(row_of(trials, t, c));
    const bool ran = check_result(judge, t, op, c.backend, rows.back());
    if (options.explain) rows.back().plan = plan_of(t, c.backend);
    if (!ran || !options.time || !can_be_timed(c.backend)) continue;
    timed.push_back(rows.size() - 1);
    who.emplace_back(op, c.backend);
  }
  if (who.empty()) return rows;
  const std::vector<Timing> times = times_of(t, who);
  double cudnn = NAN;
  for (size_t i = 0; i < who.size(); ++i) {
    Row& row = rows[timed[i]];
    row.seconds = times[i].seconds;
    row.low = times[i].low;
    row.high = times[i].high;
    if (who[i].second == Backend::cudnn) cudnn = row.seconds;
  }
  for (size_t i : timed) rows[i].ratio = cudnn / rows[i].seconds;
  return rows;
}

}  // namespace kinema::tools::compare
