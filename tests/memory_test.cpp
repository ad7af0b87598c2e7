#include "engine/memory.h"
#include <cstring>
#include <random>
#include "tests/support/check.h"

namespace kinema::test {
namespace {

constexpr int64_t mega = 1 << 20;

std::unique_ptr<Storage> block(int64_t bytes) {
  return std::make_unique<Storage>(Device::cpu, bytes);
}

TEST(Memory, BlocksNeverOverlap) {
  std::mt19937_64 draw(1);
  struct Held {
    std::unique_ptr<Storage> storage;
    uint8_t mark;
  };
  std::vector<Held> held;
  auto whole = [](const Held& h) {
    const auto* bytes = static_cast<const uint8_t*>(h.storage->data());
    return bytes[0] == h.mark && !std::memcmp(bytes, bytes + 1, size_t(h.storage->bytes() - 1));
  };
  for (int i = 0; i < 3000; ++i) {
    if (held.size() < 40 && draw() % 5 < 3) {
      const int64_t bytes = 1 + int64_t(draw() % (draw() % 2 ? 3 * mega : 100000));
      held.push_back({block(bytes), uint8_t(draw())});
      EXPECT_EQ(reinterpret_cast<uintptr_t>(held.back().storage->data()) % 64, 0u);
      std::memset(held.back().storage->data(), held.back().mark, size_t(bytes));
    } else if (!held.empty()) {
      const size_t k = draw() % held.size();
      ASSERT_TRUE(whole(held[k])) << "block of " << held[k].storage->bytes() << " bytes";
      std::swap(held[k], held.back());
      held.pop_back();
    }
  }
  for (const Held& h : held) EXPECT_TRUE(whole(h));
}

TEST(Memory, FreedNeighboursJoin) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "under the sanitizer each block is an allocation of its own";
#endif
  auto a = block(mega), b = block(mega), c = block(mega), d = block(mega);
  void* const first = a->data();
  ASSERT_EQ(static_cast<char*>(first) + 2 * mega, c->data());
  // In each order of freeing, what three neighbours held serves one block of their size.
  c = nullptr, a = nullptr, b = nullptr;
  auto joined = block(3 * mega);
  EXPECT_EQ(joined->data(), first);
  joined = nullptr;
  a = block(mega), b = block(mega), c = block(mega);
  EXPECT_EQ(a->data(), first);
  a = nullptr, b = nullptr, c = nullptr;
  EXPECT_EQ(block(3 * mega)->data(), first);
}

TEST(Memory, CountsWhatIsHeldAndTheMost) {
  const MemoryUse before = memory_use();
  {
    const auto a = block(5 * mega);
    EXPECT_GE(memory_use().live, before.live + 5 * mega);
    EXPECT_LE(memory_use().live, before.live + 5 * mega + 4096);
  }
  EXPECT_EQ(memory_use().live, before.live);
  EXPECT_GE(memory_use().peak, before.live + 5 * mega);
}

TEST(Memory, MetaHoldsNothing) {
  const int64_t before = memory_use().live;
  const Storage s(Device::meta, int64_t(1) << 60);
  EXPECT_EQ(s.data(), nullptr);
  EXPECT_EQ(memory_use().live, before);
}

TEST(Memory, SaysWhatWasAskedAndHeld) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer ends the program at so large an allocation";
#endif
  const std::string text = refusal([] { block(int64_t(1) << 50); });
  EXPECT_EQ(text.rfind("memory: could not allocate 1125899906842624 bytes; tensors hold ", 0), 0u)
      << text;
  EXPECT_NE(text.find("use a smaller batch, fewer frames or smaller frames"), std::string::npos);
}

}  // namespace
}  // namespace kinema::test
