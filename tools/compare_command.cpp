#include <fmt/chrono.h>
#include <fmt/format.h>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <set>
#include "engine/io/files.h"
#include "engine/io/text.h"
#include "engine/train/progress.h"
#include "tools/base/command.h"
#include "tools/base/interrupt.h"
#include "tools/base/run_log.h"
#include "tools/base/user_kernel.h"
#include "tools/base/versions.h"
#include "tools/compare/arrays.h"
#include "tools/compare/contest.h"
#include "tools/compare_page/page.h"
#include "tools/compare_page/table.h"

namespace kinema::tools {

namespace {

using compare::Contender, compare::Precision, compare::Request, compare::Row, compare::Size,
    compare::Trial, compare::Trials;

struct Settings {
  std::vector<std::string> operations;
  std::string passes, shapes, size, dtypes, backends, csv, html, kernel;
  bool explain = false, json = false;
};

/// Words between commas.
std::vector<std::string> list_of(const std::string& text) {
  std::vector<std::string> words;
  for (size_t from = 0, to; from <= text.size(); from = to + 1) {
    to = std::min(text.find(',', from), text.size());
    if (to > from) words.push_back(text.substr(from, to - from));
  }
  return words;
}

/// The value, of `all`, that has the name.
template <class T>
T choice(const std::string& option, const std::string& name, const std::vector<T>& all) {
  std::vector<std::string> names;
  for (const T& value : all) {
    if (name == name_of(value)) return value;
    names.push_back(name_of(value));
  }
  throw UsageError("compare: " + option + ": unknown '" + name + "'" +
                   engine::io::suggestion(name, names));
}

bool has_gpu() { return &kernels::runtime_cuda && kernels::runtime_cuda.devices() > 0; }

std::vector<Contender> contenders_of(const Settings& s) {
  using kernels::Backend;
  const std::string by_itself = has_gpu() ? "cuda,cudnn" : "emulated,cpu,reference";
  std::vector<Contender> all;
  for (const std::string& name : list_of(s.backends.empty() ? by_itself : s.backends)) {
    const Backend b = choice<Backend>(
        "--backends", name,
        {Backend::reference, Backend::cpu, Backend::cuda, Backend::cudnn, Backend::emulated});
    const bool needs_gpu = b == Backend::cuda || b == Backend::cudnn;
    kernels::check(!needs_gpu || &kernels::runtime_cuda, "compare: backend ", name,
                   ": this program was built without CUDA; --backends emulated runs the same "
                   "kernels on the CPU");
    kernels::check(!needs_gpu || has_gpu(), "compare: backend ", name,
                   " needs a GPU: ", needs_gpu ? kernels::runtime_cuda.missing() : "",
                   "; --backends emulated runs the same kernels on the CPU");
    all.push_back(compare::contender_of(b));
  }
  usage(!all.empty(), "compare: --backends: expected at least one");
  return all;
}

/// The user's own kernel as one more contender, on whatever of GPU and emulation is asked for.
void add_kernel(const Settings& s, std::vector<Contender>& contenders) {
  using kernels::Backend;
  const bool cuda = std::any_of(contenders.begin(), contenders.end(), [](const Contender& c) {
    return c.backend == Backend::cuda || c.backend == Backend::cudnn;
  });
  const Backend where = cuda ? Backend::cuda : Backend::emulated;
  const auto kernel = std::make_shared<UserKernel>(s.kernel, where);
  contenders.push_back(
      {std::filesystem::path(s.kernel).filename().string(), where, [kernel](const Trials& t) {
         return t.operation == kernel->operation() ? kernel->constant() : nullptr;
       }});
}

std::vector<const Trials*> operations_of(const Settings& s) {
  std::vector<std::string> names;
  for (const Trials* t : compare::trials()) names.push_back(t->operation);
  std::vector<std::string> wanted = s.operations;
  if (!s.kernel.empty()) {
    const std::string its = operation_of_kernel(s.kernel);
    usage(wanted.empty() || wanted == std::vector{its}, "compare: ", s.kernel, " is a kernel of ",
          its, "; compare that operation, or name none");
    wanted = {its};
  }
  std::vector<const Trials*> all;
  for (const std::string& name : wanted) {
    const auto found = std::find(names.begin(), names.end(), name);
    usage(found != names.end(), "compare: unknown operation '", name, "'",
          engine::io::suggestion(name, names));
    all.push_back(compare::trials()[size_t(found - names.begin())]);
  }
  return all.empty() ? compare::trials() : all;
}

struct Job {
  const Trials* trials;
  Trial trial;
};

Size size_of(const Settings& s) {
  if (s.size.empty()) return has_gpu() ? Size::full : Size::small;
  return s.size == "full" ? Size::full : Size::small;
}

std::string shapes_of(const Settings& s, Size size) {
  const std::string by_itself = size == Size::full ? "headline" : "cases";
  return s.shapes.empty() ? by_itself : s.shapes;
}

void check_shapes(const Request& r, const std::vector<const Trials*>& operations) {
  if (r.shapes == "cases" || r.shapes == "suite" || r.shapes == "headline") return;
  usage(operations.size() == 1, "compare: --shapes '", r.shapes,
        "' are those of one operation: name it, and no other");
  usage(r.by_hand() || std::string(operations[0]->operation) == "conv3d",
        "compare: --shapes: expected cases, suite, headline or a shape by hand (x=...) for ",
        operations[0]->operation, ", got '", r.shapes, "'");
}

/// All trials that are asked for.
std::vector<Job> jobs_of(const Settings& s) {
  const std::vector<const Trials*> operations = operations_of(s);
  Request r{.size = size_of(s)};
  r.shapes = shapes_of(s, r.size);
  check_shapes(r, operations);
  const std::vector<std::string> passes = list_of(s.passes);
  std::set<std::string> known;
  std::vector<Job> jobs;
  for (const Trials* trials : operations)
    for (const std::string& name : list_of(s.dtypes)) {
      r.precision = choice<Precision>(
          "--dtype", name, {Precision::f32, Precision::tf32, Precision::bf16, Precision::f16});
      for (Trial& t : as_usage([&] { return trials->make(r); })) {
        known.insert(t.pass);
        if (passes.empty() || std::find(passes.begin(), passes.end(), t.pass) != passes.end())
          jobs.push_back({trials, std::move(t)});
      }
    }
  for (const std::string& p : passes)
    usage(known.count(p), "compare: --pass: unknown '", p, "'",
          engine::io::suggestion(p, {known.begin(), known.end()}));
  usage(!jobs.empty(), "compare: nothing to compare: no pass of these in these types");
  return jobs;
}

/// Of a trial that did not come to its end: what was found before it is not lost.
Row failed_row(const Job& job, const kernels::Error& why) {
  return {.operation = job.trials->operation,
          .pass = job.trial.pass,
          .dtype = name_of(job.trial.precision),
          .shape = job.trial.shape,
          .name = job.trial.name,
          .backend = "all",
          .state = Row::State::wrong,
          .reason = "",
          .note = why.what()};
}

/// Runs jobs until all are done, the device is lost or the user interrupts; prints rows as they
/// come, if `table`.
std::vector<Row> rows_of(const std::vector<Job>& jobs, const std::vector<Contender>& contenders,
                         const compare::ContestOptions& options, bool table) {
  engine::train::ProgressLine progress;
  std::vector<Row> all;
  bool lost = false;
  for (size_t i = 0; i < jobs.size() && !lost && !interrupted(); ++i) {
    const Trial& t = jobs[i].trial;
    if (progress.due())
      progress.show(fmt::format("{}/{} {}.{} {} {}", i + 1, jobs.size(), jobs[i].trials->operation,
                                t.pass, name_of(t.precision), t.shape));
    std::vector<Row> rows;
    try {
      rows = contest(*jobs[i].trials, t, contenders, options);
    } catch (const kernels::Error& e) {
      rows = {failed_row(jobs[i], e)};
      lost = dynamic_cast<const kernels::DeviceLost*>(&e);
    }
    all.insert(all.end(), rows.begin(), rows.end());
    if (!table || rows.empty()) continue;
    progress.end();
    for (const Row& r : rows) std::printf("%s\n", compare_page::table_line(r).c_str());
    std::fflush(stdout);
  }
  return all;
}

compare::Comparison comparison_of(std::vector<Row> rows) {
  compare::Comparison c{
      .command = command_text(),
      .machine = has_gpu() ? std::string(kernels::runtime_cuda.gpu().name) + ", " + machine_text()
                           : machine_text()};
  const nlohmann::json versions = library_versions();
  for (const auto& [name, version] : versions.items())
    c.versions.emplace_back(name,
                            version.is_string() ? version.get<std::string>() : version.dump());
  c.versions.emplace_back("date", fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::time({}))));
  c.rows = std::move(rows);
  return c;
}

int run(const Settings& s) {
  std::vector<Contender> contenders = contenders_of(s);
  const std::vector<Job> jobs = jobs_of(s);
  if (!s.kernel.empty()) add_kernel(s, contenders);
  const compare::ContestOptions options{.time = size_of(s) == Size::full, .explain = s.explain};
  catch_interrupts();
  if (!s.json) std::printf("%s\n", compare_page::table_head().c_str());
  const std::vector<Row> rows = rows_of(jobs, contenders, options, !s.json);
  if (s.json)
    std::printf("%s\n", compare_page::json_of(rows).dump(2).c_str());
  else
    std::printf("%s\n", compare_page::table_foot(rows).c_str());
  if (!s.csv.empty())
    engine::io::write_whole(s.csv, [&](std::ostream& out) { compare_page::write_csv(out, rows); });
  if (!s.html.empty())
    engine::io::write_whole(
        s.html, [&](std::ostream& out) { out << compare_page::page_of(comparison_of(rows)); });
  if (interrupted()) return interrupted_exit();
  return std::any_of(rows.begin(), rows.end(),
                     [](const Row& r) { return r.state == Row::State::wrong; });
}

std::function<int()> define(Options& options) {
  auto s = std::make_shared<Settings>();
  s->dtypes = "f32,bf16";
  options.add("OPERATION", s->operations, "which to compare (all)");
  options.add("--pass", s->passes, "passes of theirs, as in forward,grad_input (all)");
  options.add(
      "--shapes", s->shapes,
      "cases: each operation's own; suite, headline: conv3d's layers of real networks (also "
      "FILE.csv); or one by hand: 'x=8,16,56,56,64 w=128,3,3,3,64 pad=1,1,1' (cases; with "
      "a GPU headline)");
  options.add_choice("--size", s->size, {"small", "full"},
                     "small: shapes of the tests, speed is not measured; full: of real networks "
                     "(small; with a GPU full)");
  options.add("--dtype", s->dtypes, "of f32, tf32, bf16, f16");
  options.add("--backends", s->backends,
              "of cuda, cudnn, emulated, cpu, reference (emulated,cpu,reference; with a GPU "
              "cuda,cudnn)");
  options.add("--kernel", s->kernel,
              "FILE.cu: a kernel of your own, which joins the backends (docs/my_scale.cu)");
  options.add_flag("--explain", s->explain, "print how each backend does it");
  options.add_flag("--json", s->json, "print JSON: a list of rows");
  options.add("--csv", s->csv, "FILE to write the rows to as CSV");
  options.add("--html", s->html, "FILE to write a page with a roofline plot to");
  return [s] { return run(*s); };
}

}  // namespace

extern const Command compare_command;
const Command compare_command = {
    "compare", "whether kernels are right, and how fast beside cuDNN and the hardware's limit",
    define};

}  // namespace kinema::tools
