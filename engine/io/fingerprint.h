#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace kinema::engine::io {

/// 64 bits that tell texts apart, the same on every machine: FNV-1a
/// (Fowler, Noll, Vo; draft-eastlake-fnv). Against accident alone, not against attack.
class Fingerprint {
 public:
  void add(std::string_view text) {
    for (char c : text) value_ = (value_ ^ uint8_t(c)) * 0x100000001b3u;
    // What no text holds: "ab" then "c" is not "a" then "bc".
    value_ = (value_ ^ 0x100u) * 0x100000001b3u;
  }
  void add(int64_t number) { add(std::to_string(number)); }
  /// 16 hexadecimal digits.
  std::string hex() const {
    std::string text(16, '0');
    for (size_t i = 0; i < 16; ++i) text[i] = "0123456789abcdef"[value_ >> (60 - 4 * i) & 15];
    return text;
  }

 private:
  uint64_t value_ = 0xcbf29ce484222325u;
};

}  // namespace kinema::engine::io
