#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>
#include "kernels/base/error.h"

namespace kinema::tools {

/// A mistake in how the program was called: exit code 2, where other Errors give 1.
struct UsageError : kernels::Error {
  using kernels::Error::Error;
};

/// Throws UsageError with the joined `parts` when `ok` is false.
template <class... Parts>
void usage(bool ok, const Parts&... parts) {
  if (ok) return;
  try {
    kernels::fail(parts...);
  } catch (const kernels::Error& e) {
    throw UsageError(e.what());
  }
}

/// What f() gives; an Error of it is a mistake in how the program was called.
template <class F>
auto as_usage(const F& f) {
  try {
    return f();
  } catch (const kernels::Error& e) {
    throw UsageError(e.what());
  }
}

/// Bounds of options: above what anybody needs, below where sizes of tensors pass 64 bits or the
/// system gives no more threads.
constexpr int64_t most_threads = 1024, most_units = 1 << 16, most_side = 1 << 14,
                  most_views = 10'000, most_steps = 1'000'000'000, most_megabytes = 1 << 30;

/// The options of one subcommand: each is a variable that the command line or, where that is
/// silent, the TOML file of --config sets. Every mistake is a UsageError of one sentence.
class Options {
 public:
  explicit Options(CLI::App& app);

  /// `--name VALUE`, or a positional argument where the name has no dashes. The value is kept if
  /// the option is not given.
  void add(const std::string& name, std::string& value, const std::string& help);
  void add(const std::string& name, int64_t& value, const std::string& help, int64_t least = 0,
           int64_t most = std::numeric_limits<int64_t>::max());
  void add(const std::string& name, double& value, const std::string& help, double least = 0);
  /// Whole numbers from 1 to most_units, separated by commas.
  void add(const std::string& name, std::vector<int64_t>& value, const std::string& help);
  /// A positional argument that takes any number of values.
  void add(const std::string& name, std::vector<std::string>& values, const std::string& help);
  /// Numbers from 0 on, separated by commas.
  void add(const std::string& name, std::vector<double>& value, const std::string& help);
  /// `--name`, and `--no-name` for the opposite.
  void add_flag(const std::string& name, bool& value, const std::string& help);
  /// One of `choices`.
  void add_choice(const std::string& name, std::string& value,
                  const std::vector<std::string>& choices, const std::string& help);
  /// `--config FILE`: the same options, without their dashes, as top-level keys of a TOML file.
  void add_config();

  /// Reads the arguments behind the subcommand's name. True if help was asked for and printed.
  bool parse(std::vector<std::string> arguments);

  /// True if the command line or the file set `name` ("--epochs").
  bool given(const std::string& name) const;
  /// Every option's value by its key ("epochs").
  nlohmann::json values() const;
  /// Keys of the options that were set.
  std::vector<std::string> given() const;
  /// Sets options to `values` as values() gave them once, and those among `given` as if by a file:
  /// the command line wins. Keys that are not declared are passed over.
  void restore(const nlohmann::json& values, const std::vector<std::string>& given);

 private:
  struct Entry {
    std::string name;  ///< as declared
    CLI::Option* option;
    std::function<void(const std::string&)> set;
    std::function<nlohmann::json()> get;
    std::shared_ptr<std::string> text = nullptr;  ///< what the command line said
    CLI::Option* off = nullptr;                   ///< `--no-name` of a flag
    bool from_file = false;
    std::string key() const;
    bool said() const;  ///< on the command line
  };
  void enter(const std::string& name, const std::string& type, const std::string& help,
             std::function<void(const std::string&)> set, std::function<nlohmann::json()> get);
  void read_config(const std::filesystem::path& path);
  /// What to say behind an unknown option.
  std::string hint(const std::string& name) const;

  CLI::App& app_;
  std::vector<Entry> entries_;
  std::string config_;
};

}  // namespace kinema::tools
