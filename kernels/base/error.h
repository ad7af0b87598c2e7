#pragma once
#include <sstream>
#include <stdexcept>

namespace kinema::kernels {

/// Every refusal of this library. The text starts with the operation's name and says what was
/// expected and what was found.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A backend has not what was asked for, which another may have. Thrown before any work is done.
struct Unsupported : Error {
  using Error::Error;
};

/// Throws Error with the joined `parts`.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Error(text.str());
}

/// Throws Error with the joined `parts` when `ok` is false. For callers' mistakes, in every build.
template <class... Parts>
void check(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    fail(parts...);
}

}  // namespace kinema::kernels
