#pragma once
#include <array>
#include <atomic>
#include <string>
#include <type_traits>
#include "engine/policy.h"

namespace kinema::engine {

/// Says a sentence on stderr, the first time that it is given.
void note_once(const std::string& sentence);

/// What serves one operation on one device by this thread's policy. What a backend that was chosen
/// for all operations does not have (the operation, a pass of it, or what a pass is asked for:
/// kernels::Unsupported) the device's own backend does, noted once; where the choice was made for
/// this very operation it is an error.
template <class Op>
class Served {
 public:
  /// `find` is the contract's, as kernels::conv3d. Errors: nobody has the operation.
  Served(const char* op, const Op& (*find)(Backend), Device device)
      : op_(op), choice_(choice_for(op, device)) {
    if (choice_.first != choice_.otherwise) {
      first_ = found(find);
      otherwise_ = &find(choice_.otherwise);
    } else {
      first_ = &find(choice_.first);
    }
  }

  /// run(&kernels::Conv3d::forward, stream, options, ...).
  template <class R, class... P>
  R run(R (*Op::*pass)(P...), std::type_identity_t<P>... arguments) const {
    const bool has = first_ && first_->*pass;
    if (!otherwise_) {
      check(has, op_, ": backend ", choice_.first, " has no such pass");
      return (first_->*pass)(arguments...);
    }
    if (has) {
      try {
        return (first_->*pass)(arguments...);
      } catch (const kernels::Unsupported& why) {
        note(why.what());
      }
    } else {
      note(std::string(op_) + ": backend " + name_of(choice_.first) + " has none of its own");
    }
    return (otherwise_->*pass)(arguments...);
  }

 private:
  /// The implementation of choice_.first, or null. What is missing is remembered: to ask for it
  /// costs an exception.
  const Op* found(const Op& (*find)(Backend)) const {
    static std::array<std::atomic<bool>, size_t(Backend::meta) + 1> missing{};
    std::atomic<bool>& absent = missing[size_t(choice_.first)];
    if (absent) return nullptr;
    try {
      return &find(choice_.first);
    } catch (const kernels::Unsupported&) {
      absent = true;
      return nullptr;
    }
  }
  void note(const std::string& why) const {
    note_once(why + "; " + name_of(choice_.otherwise) + " serves it instead");
  }

  const char* op_;
  Choice choice_;
  const Op* first_ = nullptr;
  const Op* otherwise_ = nullptr;  ///< null where what first_ lacks is an error
};

}  // namespace kinema::engine
