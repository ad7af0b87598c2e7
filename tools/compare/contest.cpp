#include "tools/compare/contest.h"
#include <algorithm>
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
  } catch (const kernels::DeviceLost&) {
    throw;  // no backend there can do anything any more
  } catch (const kernels::Unsupported& e) {
    row.state = Row::State::refused;
    row.note = e.what();
    return false;
  } catch (const kernels::Error& e) {
    row.state = Row::State::wrong;
    row.note = e.what();
    return false;
  }
  const Judge::Verdict v = judge.verdict(b, before, tensors.download());
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

bool on_h200(Backend b) {
  const kernels::Runtime* runtime = runtime_of(b);
  return runtime && std::string(runtime->gpu().name).find("H200") != std::string::npos;
}

/// How many of its plans a backend is timed by; the fastest counts.
int64_t ranks_of(const Trial& t, const Contender& c) {
  if (c.backend != Backend::cudnn || !t.cudnn_plans) return 1;
  return std::clamp<int64_t>(int64_t(t.cudnn_plans().size()), 1, most_cudnn_plans);
}

}  // namespace

Contender contender_of(Backend b) {
  return {kernels::name_of(b), b, [b](const Trials& t) { return t.constant(b); }};
}

std::vector<Row> contest(const Trials& trials, const Trial& t,
                         const std::vector<Contender>& contenders, const ContestOptions& options) {
  const Judge judge(trials, t);
  std::vector<Row> rows;
  std::vector<size_t> row_of_entry;
  std::vector<Entry> entries;
  for (const Contender& c : contenders) {
    const void* const op = c.constant(trials);
    if (!op || !t.offers(op)) continue;
    rows.push_back(row_of(trials, t, c));
    const bool ran = check_result(judge, t, op, c.backend, rows.back());
    if (options.explain) rows.back().plan = plan_of(t, c.backend);
    if (!ran || !options.time || !can_be_timed(c.backend)) continue;
    // The last first, for whose sake all before it are planned at once.
    for (int64_t rank = ranks_of(t, c) - 1; rank >= 0; --rank) {
      entries.push_back({op, c.backend, rank});
      row_of_entry.push_back(rows.size() - 1);
    }
  }
  const std::vector<Timing> times = times_of(t, entries);
  double cudnn = NAN;
  for (size_t i = 0; i < entries.size(); ++i) {
    Row& row = rows[row_of_entry[i]];
    if (row.seconds <= times[i].seconds || times[i].seconds == 0) continue;
    row.seconds = times[i].seconds;
    row.low = times[i].low;
    row.high = times[i].high;
    if (on_h200(entries[i].backend)) row.share = row.floor / row.seconds;
    if (entries[i].backend != Backend::cudnn) continue;
    cudnn = row.seconds;
    if (options.explain && t.cudnn_plans) row.plan = t.cudnn_plans()[size_t(entries[i].rank)];
  }
  for (Row& row : rows) row.ratio = cudnn / row.seconds;
  return rows;
}

}  // namespace kinema::tools::compare
