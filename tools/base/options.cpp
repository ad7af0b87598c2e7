#include "tools/base/options.h"
#include <fmt/format.h>
#include <toml++/toml.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <iostream>
#include <sstream>
#include "engine/io/text.h"

namespace kinema::tools {

using engine::io::suggestion;

namespace {

int64_t whole_number(const std::string& name, const std::string& text, int64_t least,
                     int64_t most) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  usage(error != std::errc::invalid_argument && stop == end, name, " takes a whole number, got '",
        text, "'");
  if (error == std::errc::result_out_of_range)
    value =
        text[0] == '-' ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
  usage(value >= least, name, " must be at least ", least, ", got ", text);
  usage(value <= most && error == std::errc(), name, " must be at most ", most, ", got ", text);
  return value;
}

double number(const std::string& name, const std::string& text, double least) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  usage(error != std::errc::invalid_argument && stop == end && std::isfinite(value), name,
        " takes a number, got '", text, "'");
  usage(error == std::errc(), name, " takes a number between 2.3e-308 and 1.8e308, got ", text);
  usage(value >= least, name, " must be at least ", least, ", got ", value);
  return value;
}

std::vector<int64_t> whole_numbers(const std::string& name, const std::string& text) {
  std::vector<int64_t> values;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) {
    int64_t value = 0;
    const auto [stop, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    const bool whole =
        error != std::errc::invalid_argument && stop == part.data() + part.size() && value >= 0;
    usage(whole && (value > 0 || error != std::errc()), name,
          " takes whole numbers separated by commas, as in 12,24, got '", text, "'");
    usage(error == std::errc() && value <= most_units, name, " takes numbers up to ", most_units,
          ", got '", text, "'");
    values.push_back(value);
  }
  usage(!values.empty(), name, " takes at least one number");
  return values;
}

std::vector<double> numbers(const std::string& name, const std::string& text) {
  std::vector<double> values;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) values.push_back(number(name, part, 0));
  usage(!values.empty(), name, " takes at least one number");
  return values;
}

/// A TOML value as the command line would say it.
std::string text_of(const toml::node& node) {
  if (const auto* s = node.as_string()) return s->get();
  if (const auto* d = node.as_floating_point()) return fmt::format("{}", d->get());
  std::ostringstream text;
  if (const auto* a = node.as_array()) {
    for (const toml::node& item : *a) text << (text.tellp() > 0 ? "," : "") << text_of(item);
  } else {
    node.visit([&](const auto& value) { text << value; });
  }
  return text.str();
}

/// An option's value as the command line would say it.
std::string text_of(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::string text;
  for (const nlohmann::json& item : value) text += (text.empty() ? "" : ",") + text_of(item);
  return text;
}

}  // namespace

std::string Options::Entry::key() const { return name.starts_with("--") ? name.substr(2) : name; }

bool Options::Entry::said() const { return option->count() || (off && off->count()); }

Options::Options(CLI::App& app) : app_(app) { app_.allow_extras(); }

void Options::enter(const std::string& name, const std::string& type, const std::string& help,
                    std::function<void(const std::string&)> set,
                    std::function<nlohmann::json()> get) {
  auto text = std::make_shared<std::string>();
  const nlohmann::json before = get();
  std::string shown = before.is_string() ? before.get<std::string>() : before.dump();
  if (before.is_array()) shown = shown.substr(1, shown.size() - 2);
  const bool says_default = !shown.empty() && shown != "0" && shown != "0.0";
  CLI::Option* option =
      app_.add_option(name, *text, help + (says_default ? " (default " + shown + ")" : ""))
          ->type_name(type)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  entries_.push_back({name, option, std::move(set), std::move(get), text});
}

void Options::add(const std::string& name, std::string& value, const std::string& help) {
  enter(
      name, "TEXT", help, [&value](const std::string& text) { value = text; },
      [&value] { return value; });
}

void Options::add(const std::string& name, int64_t& value, const std::string& help, int64_t least,
                  int64_t most) {
  enter(
      name, "N", help,
      [&value, name, least, most](const std::string& text) {
        value = whole_number(name, text, least, most);
      },
      [&value] { return value; });
}

void Options::add(const std::string& name, double& value, const std::string& help, double least) {
  enter(
      name, "X", help,
      [&value, name, least](const std::string& text) { value = number(name, text, least); },
      [&value] { return value; });
}

void Options::add(const std::string& name, std::vector<int64_t>& value, const std::string& help) {
  enter(
      name, "N,N,...", help,
      [&value, name](const std::string& text) { value = whole_numbers(name, text); },
      [&value] { return value; });
}

void Options::add(const std::string& name, std::vector<std::string>& values,
                  const std::string& help) {
  auto said = std::make_shared<std::vector<std::string>>();
  CLI::Option* option = app_.add_option(name, *said, help)->type_name("TEXT");
  // The text of a configuration file is one value.
  const auto set = [&values, said](const std::string& text) {
    values = said->empty() ? std::vector{text} : *said;
  };
  entries_.push_back(
      {name, option, set, [&values] { return values; }, std::make_shared<std::string>()});
}

void Options::add_choice(const std::string& name, std::string& value,
                         const std::vector<std::string>& choices, const std::string& help) {
  std::string all;
  for (const std::string& c : choices) all += (all.empty() ? "" : "|") + c;
  enter(
      name, all, help,
      [&value, name, choices](const std::string& text) {
        usage(std::count(choices.begin(), choices.end(), text), name, ": unknown value '", text,
              "'", suggestion(text, choices));
        value = text;
      },
      [&value] { return value; });
}

void Options::add(const std::string& name, std::vector<double>& value, const std::string& help) {
  enter(
      name, "NUMBERS", help, [&value, name](const std::string& t) { value = numbers(name, t); },
      [&value] { return value; });
}

void Options::add_flag(const std::string& name, bool& value, const std::string& help) {
  const std::string opposite = "--no-" + name.substr(2);
  CLI::Option* on = app_.add_flag(name);
  on->description(help + (value ? " (default; or " + opposite + ")" : ""));
  CLI::Option* off = app_.add_flag(opposite)->group("");  // no line of its own in the help
  auto set = [&value, name](const std::string& text) {
    usage(text == "true" || text == "false", name, " takes true or false, got '", text, "'");
    value = text == "true";
  };
  entries_.push_back({name, on, set, [&value] { return value; }, nullptr, off});
}

void Options::add_config() {
  add("--config", config_, "TOML file with any of these options; the command line wins");
}

std::string Options::hint(const std::string& name) const {
  std::vector<std::string> all;
  for (const Entry& e : entries_) {
    if (e.name.starts_with("--")) all.push_back(e.name);
    if (e.off) all.push_back("--no-" + e.key());
  }
  const std::string near = engine::io::nearest(name, all);
  if (near.empty()) return "; '" + app_.get_name() + " --help' lists all";
  return "; did you mean '" + near + "'?";
}

bool Options::parse(std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app_.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    std::cout << app_.help();
    return true;
  } catch (const CLI::ArgumentMismatch& e) {
    const std::string text = e.what();
    throw UsageError(text.substr(0, text.find(':')) + " needs a value");
  } catch (const CLI::ParseError& e) {
    throw UsageError(e.what());
  }
  for (const std::string& extra : app_.remaining()) {
    const std::string name = extra.substr(0, extra.find('='));
    usage(!extra.starts_with("-"), "unknown option '", name, "'", hint(name));
    throw UsageError("unexpected argument '" + extra + "'; '" + app_.get_name() +
                     " --help' lists what it takes");
  }
  for (Entry& e : entries_) {
    usage(!e.off || !e.off->count() || !e.option->count(), "give either ", e.name, " or --no-",
          e.key());
    if (e.said()) e.set(!e.off ? *e.text : e.option->count() ? "true" : "false");
  }
  if (!config_.empty()) read_config(config_);
  return false;
}

void Options::read_config(const std::filesystem::path& path) {
  usage(!std::filesystem::is_directory(path), "config: expected a file, got a folder: ", path);
  usage(std::filesystem::exists(path), "config: no such file: ", path);
  toml::table table;
  try {
    table = toml::parse_file(path.string());
  } catch (const toml::parse_error& e) {
    usage(false, "config: ", path, " line ", e.source().begin.line, ": ", e.description());
  }
  std::vector<std::string> keys;
  for (const Entry& e : entries_)
    if (e.name != "--config" && e.name.starts_with("--")) keys.push_back(e.key());
  for (const auto& [key, node] : table) {
    std::string name(key.str());
    std::replace(name.begin(), name.end(), '_', '-');
    const std::string where =
        fmt::format("config: \"{}\" line {}: ", path.string(), key.source().begin.line);
    usage(std::count(keys.begin(), keys.end(), name), where, "unknown key '",
          std::string(key.str()), "'", suggestion(name, keys));
    usage(!node.is_table(), where, "'", name, "' takes a value, not a table");
    Entry& entry = *std::find_if(entries_.begin(), entries_.end(),
                                 [&](const Entry& e) { return e.key() == name; });
    if (entry.said()) continue;
    try {
      entry.set(text_of(node));
    } catch (const UsageError& e) {
      throw UsageError(where + e.what());
    }
    entry.from_file = true;
  }
}

bool Options::given(const std::string& name) const {
  for (const Entry& e : entries_)
    if (e.name == name) return e.said() || e.from_file;
  return false;
}

nlohmann::json Options::values() const {
  nlohmann::json all = nlohmann::json::object();
  for (const Entry& e : entries_) all[e.key()] = e.get();
  return all;
}

std::vector<std::string> Options::given() const {
  std::vector<std::string> keys;
  for (const Entry& e : entries_)
    if (e.said() || e.from_file) keys.push_back(e.key());
  return keys;
}

void Options::restore(const nlohmann::json& values, const std::vector<std::string>& given) {
  for (Entry& e : entries_) {
    if (e.said() || e.from_file || !values.contains(e.key())) continue;
    const nlohmann::json& value = values[e.key()];
    if (value != e.get()) e.set(text_of(value));
    e.from_file = std::count(given.begin(), given.end(), e.key()) > 0;
  }
}

}  // namespace kinema::tools
