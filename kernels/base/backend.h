#pragma once
#include <cstdint>
#include <ostream>
#include <string>
#include "kernels/base/error.h"

namespace kinema::kernels {

/// Who computes. `meta` computes nothing: shapes, counts and receptive fields without memory.
enum class Backend : uint8_t { reference, cpu, cuda, cudnn, emulated, meta };

constexpr const char* name_of(Backend b) {
  constexpr const char* names[] = {"reference", "cpu", "cuda", "cudnn", "emulated", "meta"};
  return names[int(b)];
}
inline std::ostream& operator<<(std::ostream& out, Backend b) { return out << name_of(b); }

/// The queue that a pass runs in; null on the CPU, where passes return when they are done.
struct Stream {
  void* handle = nullptr;
};

/// Fits any function pointer and does nothing: the passes of the `meta` backend.
struct Ignored {
  template <class R, class... Args>
  using Pass = R (*)(Args...);
  template <class R, class... Args>
  constexpr operator Pass<R, Args...>() const {  // NOLINT: converts to whatever pass is asked for
    return [](Args...) -> R { return R(); };
  }
};
inline constexpr Ignored ignored;

/// Before the declaration of a constant that a program may be linked without: its address is then
/// null. So a build without nvcc lacks `cuda`, and only programs that ask for it carry `emulated`.
#define KERNELS_OPTIONAL [[gnu::weak]]

/// What an operation offers; null where a backend lacks it.
template <class Op>
struct Backends {
  const Op* reference = nullptr;
  const Op* cpu = nullptr;
  const Op* cuda = nullptr;
  const Op* cudnn = nullptr;
  const Op* emulated = nullptr;
  const Op* meta = nullptr;
};

/// The implementation of `op` for `backend`; throws Unsupported where the operation or this build
/// has none.
template <class Op>
const Op& select(const char* op, Backend backend, const Backends<Op>& all) {
  const Op* const table[] = {all.reference, all.cpu, all.cuda, all.cudnn, all.emulated, all.meta};
  const Op* impl = table[int(backend)];
  if (!impl)
    throw Unsupported(std::string(op) + ": this build has no implementation for backend " +
                      name_of(backend));
  return *impl;
}

}  // namespace kinema::kernels
