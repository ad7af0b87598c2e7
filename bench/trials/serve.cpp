#include "bench/trials/serve.h"
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include "tools/compare/arrays.h"
#include "tools/compare/clock.h"

namespace kinema::bench {

namespace {

namespace compare = tools::compare;
using compare::Array, compare::Operand, compare::Precision, compare::Request, compare::Trial,
    compare::Trials;
using kernels::check, kernels::fail;
using nlohmann::json;

const Trials& trials_of(const std::string& operation) {
  for (const Trials* t : compare::trials())
    if (t->operation == operation) return *t;
  fail("expected an operation that has trials, got ", operation);
}

Precision precision_from(const std::string& text) {
  for (const Precision p : {Precision::f32, Precision::tf32, Precision::bf16, Precision::f16})
    if (text == name_of(p)) return p;
  fail("expected f32, tf32, bf16 or f16, got ", text);
}

Backend backend_from(const std::string& text) {
  for (const Backend b : timed_backends())
    if (text == kernels::name_of(b)) return b;
  fail("expected a backend of this program, got ", text);
}

json list(const json& q) {
  const std::string size = q.value("size", std::string("small"));
  check(size == "small" || size == "full", "expected size small or full, got ", size);
  const Request request{.size = size == "full" ? compare::Size::full : compare::Size::small,
                        .precision = precision_from(q.at("precision")),
                        .shapes = q.value("shapes", std::string("cases"))};
  json rows = json::array();
  for (const Trial& t : trials_of(q.at("operation")).make(request))
    rows.push_back({{"pass", t.pass},
                    {"shape", t.shape},
                    {"name", t.name},
                    {"flop", t.flop},
                    {"bytes", t.bytes()},
                    {"floor", t.floor()}});
  return {{"rows", rows}};
}

/// What a request names: a trial and the constant that runs it.
struct Chosen {
  Trial trial;
  const void* op;
  Backend backend;
};
Chosen chosen(const json& q) {
  const Trials& trials = trials_of(q.at("operation"));
  const Backend backend = backend_from(q.at("backend"));
  const void* const op = trials.constant(backend);
  check(op, trials.operation, ": this program has no implementation for ", backend);
  const std::string pass = q.at("pass");
  const Request request{.precision = precision_from(q.at("precision")), .shapes = q.at("shape")};
  for (const Trial& t : trials.make(request))
    if (t.pass == pass) {
      check(t.offers(op), trials.operation, ": ", backend, " has no pass ", pass);
      return {t, op, backend};
    }
  fail(trials.operation, ": expected one of its passes, got ", pass);
}

void write(const Array& a, const std::filesystem::path& path) {
  std::vector<float> values;
  const kernels::RowOffsets offset(a.view);
  kernels::dispatch_any(a.view.dtype, [&]<class T>(T) {
    for (int64_t r = 0; a.view.size() && r < offset.rows(); ++r)
      for (int64_t c = 0; c < a.view.shape[-1]; ++c)
        values.push_back(float(kernels::data<const T>(a.view)[offset(r) + c]));
  });
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(values.data()),
            std::streamsize(values.size() * sizeof(float)));
  out.flush();
  check(out.good(), "cannot write ", path.string());
}

json run(const json& q) {
  const Chosen c = chosen(q);
  const compare::Tensors tensors(operands_of(c.trial, c.backend), c.backend);
  c.trial.run(c.op, {}, tensors.views());
  const std::vector<Array> after = tensors.download();
  const std::filesystem::path folder = q.at("folder").get<std::string>();
  json operands = json::array();
  for (size_t i = 0; i < after.size(); ++i) {
    const Operand& o = c.trial.operands[i];
    const std::filesystem::path file = folder / (o.name + ".f32");
    write(after[i], file);
    std::vector<int64_t> shape;
    for (int a = 0; a < o.shape.rank; ++a) shape.push_back(o.shape[a]);
    constexpr const char* roles[] = {"input", "output", "updated"};
    operands.push_back({{"name", o.name},
                        {"shape", shape},
                        {"role", roles[int(o.role)]},
                        {"bound", o.bound + compare::epsilon_of(o.dtype)},
                        {"file", file.string()}});
  }
  return {{"operands", operands}};
}

json time(const json& q) {
  const Chosen c = chosen(q);
  const compare::Timing t = compare::times_of(c.trial, {{c.op, c.backend}})[0];
  return {{"seconds", t.seconds}, {"low", t.low}, {"high", t.high}};
}

json about() {
  json backends = json::array();
  for (const Backend b : timed_backends()) backends.push_back(kernels::name_of(b));
  const kernels::Runtime* const runtime = compare::runtime_of(timed_backends()[0]);
  return {{"gpu", runtime ? json(runtime->gpu().name) : json()}, {"backends", backends}};
}

json answer(const std::string& line) {
  const json q = json::parse(line);
  const std::string what = q.at("do");
  if (what == "about") return about();
  if (what == "list") return list(q);
  if (what == "run") return run(q);
  if (what == "time") return time(q);
  fail("expected do: about, list, run or time, got ", what);
}

}  // namespace

std::span<const Backend> timed_backends() {
  static constexpr Backend cpu[] = {Backend::cpu}, gpu[] = {Backend::cuda, Backend::cudnn};
  if (&kernels::runtime_cuda) return gpu;
  return cpu;
}

int serve(std::istream& in, std::ostream& out) {
  for (std::string line; std::getline(in, line);) {
    json reply;
    try {
      reply = answer(line);
    } catch (const std::exception& e) {
      reply = {{"error", e.what()}};
    }
    out << reply.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
  }
  return 0;
}

}  // namespace kinema::bench
