#pragma once
#include <istream>
#include <ostream>
#include <span>
#include "tools/compare/trial.h"

namespace kinema::bench {

using kernels::Backend;

/// Those that this program is linked with and that can be timed: the CPU's, or a GPU's.
std::span<const Backend> timed_backends();

/// Answers requests for a script that times somebody else beside us (bench/peers), a line of JSON
/// each, until the stream ends. Keys of a request:
///   do         "about"  -> {gpu, backends}
///              "list"   -> {rows: [{pass, shape, name, flop, bytes, floor}]}: of `operation` in
///                          `precision`, where "shapes" and "size" are as this program's options
///              "run"    -> {operands: [{name, shape, role, bound, file}]}: runs one row and writes
///                          what its operands then hold as f32 without gaps into "folder"
///              "time"   -> {seconds, low, high}
///   operation, pass, precision, backend, shape: which row; shape as in "list"
/// What goes wrong is an answer {error}.
int serve(std::istream& in, std::ostream& out);

}  // namespace kinema::bench
