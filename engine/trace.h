#pragma once
#include <array>
#include <string>
#include <vector>
#include "engine/profiled_range.h"
#include "engine/tensor.h"

namespace kinema::engine {

/// How far one output element of an operation sees into its first input, along t, h, w.
struct Window {
  std::array<int64_t, 3> size{1, 1, 1};    ///< elements from first to last, dilation counted
  std::array<int64_t, 3> stride{1, 1, 1};  ///< elements between neighbours' windows
};

/// What an operation cost and saw; counted for `summary`.
struct Work {
  int64_t macs = 0;  ///< multiply-accumulates of convolutions and matrix products
  Window window = {};
};

/// Told of every operation that runs on this thread while it is installed.
class Observer {
 public:
  Observer();
  virtual ~Observer();
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;
  virtual void saw(const char* op, const Tensor& y, const std::vector<Tensor>& inputs,
                   const Work& work) = 0;
  /// While backward() walks: `gradient`, as it stands, of input `i` of the operation `of`, whose
  /// rule has just run.
  virtual void saw_gradient(const Node& of, size_t i, const Tensor& gradient) {
    (void)of, (void)i, (void)gradient;
  }
  static Observer* current();
};

/// The module that is running on this thread, as a dotted path; "" outside of any.
const std::string& current_path();

/// Names the running module while it lives, for profilers of a GPU too.
class PathScope {
 public:
  explicit PathScope(const std::string& path);
  ~PathScope();
  PathScope(const PathScope&) = delete;
  PathScope& operator=(const PathScope&) = delete;

 private:
  std::string before_;
  ProfiledRange range_;
};

}  // namespace kinema::engine
