#include "engine/math_mode.h"
#include <utility>

namespace kinema::engine {

namespace {
thread_local bool tf32 = false;
}  // namespace

bool tf32_mode() { return tf32; }

Tf32Scope::Tf32Scope() : before_(std::exchange(tf32, true)) {}
Tf32Scope::~Tf32Scope() { tf32 = before_; }

}  // namespace kinema::engine
