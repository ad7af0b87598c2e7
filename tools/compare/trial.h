#pragma once
#include <functional>
#include <string>
#include <vector>
#include "kernels/base/backend.h"
#include "kernels/base/gpu.h"
#include "kernels/base/view.h"

// Trials: what `kinema compare` and the benchmarks run. tools/compare/OP_trial.cpp defines the
// constant OP_trial, found by the file's name. They need neither engine nor a program around them.

namespace kinema::tools::compare {

using kernels::Backend, kernels::Dtype, kernels::Shape, kernels::Stream, kernels::View;
using Views = std::vector<View>;

/// What a user calls a type: tf32 is f32 whose factors may be rounded to TF32.
enum class Precision { f32, tf32, bf16, f16 };
constexpr const char* name_of(Precision p) {
  constexpr const char* names[] = {"f32", "tf32", "bf16", "f16"};
  return names[int(p)];
}
/// Of activations.
constexpr Dtype dtype_of(Precision p) {
  constexpr Dtype types[] = {Dtype::f32, Dtype::f32, Dtype::bf16, Dtype::f16};
  return types[int(p)];
}

/// What an H200 does in a second, at best: bytes and dense products on random data that have been
/// reached there, FLOP of f32 by its data sheet, TF32 at half the rate of narrow types.
inline constexpr double best_bytes = 4.3e12;
constexpr double best_flop(Precision p) {
  constexpr double rates[] = {67e12, 395e12, 790e12, 790e12};
  return rates[int(p)];
}

/// Of cuDNN's ranked plans, how many are timed.
inline constexpr int64_t most_cudnn_plans = 5;

/// A tensor of a trial, laid out as fresh ones are.
struct Operand {
  enum class Role { input, output, updated };  ///< updated: read and written

  std::string name;
  Shape shape;
  Dtype dtype = Dtype::f32;
  Role role = Role::input;
  /// What an input holds: numbers uniform in [low, high), of integers the whole ones, or value(i)
  /// for element i, counted row-major.
  double low = -1, high = 1;
  std::function<double(int64_t i)> value = {};
  double bound = 0;  ///< of an output's error, to which narrow types add a unit in the last place
};

/// A box of an output: its first element and its size.
struct Part {
  Shape first, size;
};

/// One pass of an operation on one shape in one precision.
struct Trial {
  std::string pass = {};
  Precision precision = Precision::f32;
  std::string shape = {};  ///< as `--shapes` takes it
  std::string name = {};   ///< of the layer; may be empty
  std::vector<Operand> operands = {};
  std::string reason = {};  ///< for the bounds
  double flop = 0;          ///< two for a multiply-add; 0 where memory alone can bind
  int64_t more_bytes = 0;   ///< that the contract must move beyond each operand once

  /// Whether a backend's constant of the contract has the pass; runs it on the operands' views.
  std::function<bool(const void* op)> offers = {};
  std::function<void(const void* op, Stream, const Views&)> run = {};
  /// Where the whole is too much for the reference: parts of the last operand, and how to compute
  /// one. Not set: the whole.
  std::vector<Part> parts = {};
  std::function<void(const void* op, const Part&, const Views&)> run_part = {};
  /// How the hand-written kernels do it on a GPU; may not be set.
  std::function<std::string(const kernels::Gpu&)> plan = {};
  /// Those of cuDNN that may serve, the best ranked first; not set where it has no choice.
  std::function<std::vector<std::string>()> cudnn_plans = {};

  Trial& reads(const std::string& name, const Shape& shape, Dtype dtype, double low = -1,
               double high = 1);
  Trial& reads(const std::string& name, const Shape& shape, Dtype dtype,
               std::function<double(int64_t)> value);
  Trial& writes(const std::string& name, const Shape& shape, Dtype dtype, double bound);
  Trial& updates(const std::string& name, const Shape& shape, Dtype dtype, double bound,
                 double low = -1, double high = 1);

  /// The pass is `call(entry, stream, views)`, entry being the function behind `member`.
  template <class Op, class Entry, class Call>
  Trial& runs(Entry Op::*member, const Call& call) {
    offers = [member](const void* op) { return static_cast<const Op*>(op)->*member != nullptr; };
    run = [member, call](const void* op, Stream stream, const Views& v) {
      call(static_cast<const Op*>(op)->*member, stream, v);
    };
    return *this;
  }

  /// Elements of inputs read once, of outputs written once, and more_bytes.
  int64_t bytes() const;
  /// Seconds that an H200 takes at least: max(flop / its rate, bytes / its rate).
  double floor() const;
};

enum class Size { small, full };

/// Which trials are wanted.
struct Request {
  Size size = Size::small;
  Precision precision = Precision::f32;
  /// "cases", "suite", "headline" (for operations other than conv3d these are one), a file of
  /// convolutions (NAME.csv), or a shape by hand: "x=8,16,56,56,64 kernel=2,2,2".
  std::string shapes = "cases";

  bool by_hand() const { return shapes.find('=') != std::string::npos; }
  /// Whether rows of a table of cases with this tag are wanted.
  bool wants(const std::string& tag) const { return tag == (size == Size::small ? "ci" : "full"); }
};

/// What an operation contributes.
struct Trials {
  const char* operation;
  const void* (*constant)(Backend);  ///< of the contract; null where this build has none
  std::vector<Trial> (*make)(const Request&);
};
/// All of them, by file name; cmake/tables.cmake writes the list.
const std::vector<const Trials*>& trials();

/// Trials::constant of a contract's function.
template <auto contract>
const void* constant_of(Backend b) {
  try {
    return &contract(b);
  } catch (const kernels::Error&) {
    return nullptr;
  }
}

/// A shape by hand: words KEY=VALUE between blanks, values whole numbers with commas between. Each
/// key is taken at most once; done() refuses what nobody took.
class Words {
 public:
  Words(const std::string& operation, const std::string& text);
  bool has(const std::string& key) const;
  /// Errors: not there; not so many numbers (0: 1 to 6); numbers below `least`.
  Shape shape(const std::string& key, int rank = 0, int64_t least = 0);
  std::array<int64_t, 3> triple(const std::string& key, const std::array<int64_t, 3>& otherwise,
                                int64_t least = 0);
  double number(const std::string& key, double otherwise);
  bool flag(const std::string& key, bool otherwise);  ///< KEY=0 or KEY=1
  void done() const;

 private:
  struct Word {
    std::string key, value;
    bool taken = false;
  };
  Word* find(const std::string& key);
  std::string operation_;
  std::vector<Word> words_;
};

/// "x=8,16,56,56,64": such a word.
std::string word_of(const std::string& key, const Shape&);
/// Likewise behind a blank; "" where the numbers are the usual ones.
std::string word_of(const std::string& key, const std::array<int64_t, 3>&,
                    const std::array<int64_t, 3>& usual);

/// One shape a row of a table of cases, or the one by hand, KEY=.
template <class Case>
std::vector<Shape> shapes_of(const Request& r, const std::string& operation,
                             const std::vector<Case>& cases, Shape Case::*member,
                             const std::string& key = "x", int rank = 0) {
  std::vector<Shape> all;
  if (r.by_hand()) {
    Words words(operation, r.shapes);
    all.push_back(words.shape(key, rank));
    words.done();
  }
  for (const Case& c : cases)
    if (!r.by_hand() && r.wants(c.tag)) all.push_back(c.*member);
  return all;
}

/// The distance from 1 to the next number.
constexpr double epsilon_of(Dtype d) {
  return d == Dtype::bf16 ? 0x1p-7 : d == Dtype::f16 ? 0x1p-10 : d == Dtype::f32 ? 0x1p-23 : 0;
}
inline constexpr double f32_epsilon = epsilon_of(Dtype::f32);

}  // namespace kinema::tools::compare
