#include "engine/random.h"
#include <cmath>
#include <numbers>
#include <vector>
#include "engine/ops/copy.h"
#include "engine/trace.h"
#include "kernels/base/philox.h"

namespace kinema::engine {

namespace {

thread_local std::vector<RandomState> scopes;

/// FNV-1a over the bytes of `text`, from `hash` on.
uint64_t fnv(std::string_view text, uint64_t hash = 0xcbf29ce484222325u) {
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3u;
  return hash;
}

/// f(index) -> value for every element of t, row-major.
template <class F>
void generate(const Tensor& t, F f) {
  if (t.device() == Device::meta) return;
  if (t.device() == Device::gpu) {  // the same numbers, made on the CPU
    const Tensor host = empty(t.shape(), t.dtype(), Device::cpu);
    generate(host, f);
    return copy(host, t);
  }
  const kernels::RowOffsets offset(t.layout);
  kernels::dispatch_float("random", t.dtype(), [&]<class T>(T) {
    int64_t i = 0;
    for (int64_t r = 0; t.size() && r < offset.rows(); ++r)
      for (int64_t c = 0; c < t.shape(-1); ++c) data<T>(t)[offset(r) + c] = T(f(uint64_t(i++)));
  });
}

/// The place of the next draw of the running module, hashed, and its number there.
std::pair<uint64_t, uint64_t> next_call(const char* op) {
  check(!scopes.empty(), op, ": random numbers are drawn only inside a RandomScope");
  const std::string place = current_path() + "/" + op;
  return {fnv(place), scopes.back().calls[place]++};
}

double unit_double(uint32_t a, uint32_t b) {
  return (double(a >> 5) * 0x1p26 + double(b >> 6)) * 0x1p-53;
}

}  // namespace

RandomKey key_of(uint64_t seed, std::string_view place) { return {seed, fnv(place)}; }

std::optional<RandomState> random_state() {
  return scopes.empty() ? std::nullopt : std::optional(scopes.back());
}

RandomScope::RandomScope(RandomState state) { scopes.push_back(std::move(state)); }
RandomScope::~RandomScope() { scopes.pop_back(); }

RandomKey next_key(const char* op) {
  const auto [place, call] = next_call(op);
  const RandomState& now = scopes.back();
  return {now.seed, kernels::stream_of_draw(call, now.step, place)};
}

RandomDraw next_draw(const char* op, Device device) {
  const auto [place, call] = next_call(op);
  RandomState& now = scopes.back();
  if (!now.step_memory || now.step_memory.device() != device)
    now.step_memory = full({1}, double(now.step), Dtype::i64, device);
  return {now.seed, place, call, now.step_memory};
}

void fill_uniform(const Tensor& t, double low, double high, RandomKey key) {
  generate(t, [=](uint64_t i) {
    const auto w = kernels::philox(i, key.key, key.stream);
    return low + (high - low) * unit_double(w[0], w[1]);
  });
}

void fill_normal(const Tensor& t, double mean, double deviation, RandomKey key) {
  // Box and Muller, 1958; 1 - u keeps the logarithm finite.
  generate(t, [=](uint64_t i) {
    const auto w = kernels::philox(i, key.key, key.stream);
    const double radius = std::sqrt(-2 * std::log(1 - unit_double(w[0], w[1])));
    return mean + deviation * radius * std::cos(2 * std::numbers::pi * unit_double(w[2], w[3]));
  });
}

}  // namespace kinema::engine
