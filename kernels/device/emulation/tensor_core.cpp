#include <algorithm>
#include <cstring>
#include "kernels/device/emulation/operands.h"

namespace kinema::kernels::device::emulation {

namespace {

/// What one lane brings to ldmatrix and stmatrix, and the 4 bytes of each matrix that it gets.
struct MatrixLane {
  uint32_t* registers;
  uint32_t row;
  int count;
  bool transposed;
  char* rows[4];  ///< of the matrices, those that the lane's register comes from
};

/// Rows that share a bank with another row of the matrix are read one after the other.
void count_conflicts(MatrixLane* const* lanes, int matrix) {
  for (int i = 1; i < 8; ++i) {
    const uint32_t row = lanes[matrix * 8 + i]->row;
    bool meets = false;
    for (int j = 0; j < i; ++j) {
      const uint32_t other = lanes[matrix * 8 + j]->row;
      meets |= other != row && (other >> 4 & 7) == (row >> 4 & 7);
    }
    worker->tally.bank_conflicts += meets;
  }
}

/// The rows of matrix `number`, checked.
void rows_of(MatrixLane* const* lanes, int number, const char* name, char* (&rows)[8]) {
  for (int i = 0; i < 8; ++i) {
    const uint32_t row = lanes[number * 8 + i]->row;
    if (row % 16)
      fail("%s: expected rows on multiples of 16 bytes, got %u of lane %d", name, row,
           number * 8 + i);
    rows[i] = shared_pointer(row, 16);
  }
  count_conflicts(lanes, number);
}

void check_whole_warp(uint32_t mask, const char* name) {
  if (mask != whole_warp) fail("%s: expected all 32 lanes, got %08x", name, mask);
}

void load_matrices(void* const* arguments, uint32_t mask) {
  check_whole_warp(mask, "ldmatrix");
  auto* const* lanes = reinterpret_cast<MatrixLane* const*>(arguments);
  for (int number = 0; number < lanes[0]->count; ++number) {
    char* rows[8];
    rows_of(lanes, number, "ldmatrix", rows);
    uint16_t m[8][8];
    for (int i = 0; i < 8; ++i) std::memcpy(m[i], rows[i], 16);
    for (int l = 0; l < 32; ++l) {
      const int i = l / 4, j = l % 4 * 2;
      MatrixLane& lane = *lanes[l];
      const uint32_t low = lane.transposed ? m[j][i] : m[i][j];
      const uint32_t high = lane.transposed ? m[j + 1][i] : m[i][j + 1];
      lane.registers[number] = low | high << 16;
      lane.rows[number] = rows[i] + 2 * j;
    }
  }
}

void store_matrices(void* const* arguments, uint32_t mask) {
  check_whole_warp(mask, "stmatrix");
  auto* const* lanes = reinterpret_cast<MatrixLane* const*>(arguments);
  for (int number = 0; number < lanes[0]->count; ++number) {
    char* rows[8];
    rows_of(lanes, number, "stmatrix", rows);
    uint16_t m[8][8];
    for (int l = 0; l < 32; ++l) {
      const int i = l / 4, j = l % 4 * 2;
      MatrixLane& lane = *lanes[l];
      const uint32_t word = lane.registers[number];
      (lane.transposed ? m[j][i] : m[i][j]) = uint16_t(word);
      (lane.transposed ? m[j + 1][i] : m[i][j + 1]) = uint16_t(word >> 16);
      lane.rows[number] = rows[i] + 2 * j;
    }
    for (int i = 0; i < 8; ++i) std::memcpy(rows[i], m[i], 16);
  }
}

/// Each lane answers for 4 bytes of each matrix, an eighth of a row each.
void tell_races(const MatrixLane& mine, race::Kind kind) {
  if (!race::on) return;
  for (int i = 0; i < mine.count; ++i) race::access(mine.rows[i], 4, kind);
}

/// One lane's part of a tile of mma.sync.
struct MmaLane {
  Number type;
  float* d;
  const uint32_t *a, *b;
  int rows, columns;
};
constexpr int most_rows = 8, most_columns = 32;

/// The operands of a warp's tile as matrices, k by k of the instruction.
struct Operands {
  float a[most_rows][16][16];    ///< [instruction][row][k]
  float b[most_columns][16][8];  ///< [instruction][k][column]
};

void collect(const MmaLane& lane, int l, Operands& to) {
  const int g = l / 4, t = l % 4, pair = lane.type == Number::tf32 ? 1 : 2;
  const int half = chunk_of(lane.type);
  float values[2];
  for (int i = 0; i < lane.rows * 4; ++i) {
    to_floats(lane.type, &lane.a[i], pair, values);
    for (int e = 0; e < pair; ++e)
      to.a[i / 4][g + i % 2 * 8][t * pair + i % 4 / 2 * half + e] = values[e];
  }
  for (int i = 0; i < lane.columns * 2; ++i) {
    to_floats(lane.type, &lane.b[i], pair, values);
    for (int e = 0; e < pair; ++e) to.b[i / 2][t * pair + i % 2 * half + e][g] = values[e];
  }
}

/// d += a * b for instruction (i, j) of the tile.
void multiply(MmaLane* const* lanes, const Operands& from, int i, int j) {
  using Row = float __attribute__((vector_size(32), may_alias));
  alignas(32) float sums[16][8];
  const int depth = depth_of(lanes[0]->type), offset = (i * lanes[0]->columns + j) * 4;
  const auto each = [&](auto f) {
    for (int l = 0; l < 32; ++l)
      for (int r = 0; r < 4; ++r)
        f(lanes[l]->d[offset + r], sums[l / 4 + r / 2 * 8][l % 4 * 2 + r % 2]);
  };
  each([](float& own, float& sum) { sum = own; });
  for (int row = 0; row < 16; ++row) {
    Row sum;
    std::memcpy(&sum, sums[row], sizeof sum);
    for (int k = 0; k < depth; ++k) {
      Row b;
      std::memcpy(&b, from.b[j][k], sizeof b);
      sum += from.a[i][row][k] * b;
    }
    std::memcpy(sums[row], &sum, sizeof sum);
  }
  each([](float& own, float& sum) { own = sum; });
}

void multiply_tile(void* const* arguments, uint32_t mask) {
  check_whole_warp(mask, "mma");
  auto* const* lanes = reinterpret_cast<MmaLane* const*>(arguments);
  thread_local Operands operands;
  for (int l = 0; l < 32; ++l) collect(*lanes[l], l, operands);
  for (int i = 0; i < lanes[0]->rows; ++i)
    for (int j = 0; j < lanes[0]->columns; ++j) multiply(lanes, operands, i, j);
}

}  // namespace

void ldmatrix(uint32_t* registers, uint32_t row, int count, bool transposed) {
  EMULATION_NOTE_CALLER();
  MatrixLane mine{registers, row, count, transposed, {}};
  meet(whole_warp, "ldmatrix", &mine, load_matrices);
  tell_races(mine, race::Kind::read);
}

void stmatrix(const uint32_t* registers, uint32_t row, int count, bool transposed) {
  EMULATION_NOTE_CALLER();
  MatrixLane mine{const_cast<uint32_t*>(registers), row, count, transposed, {}};
  meet(whole_warp, "stmatrix", &mine, store_matrices);
  tell_races(mine, race::Kind::write);
}

void mma(Number type, float* d, const uint32_t* a, const uint32_t* b, int rows, int columns) {
  EMULATION_NOTE_CALLER();
  if (rows > most_rows || columns > most_columns)
    fail("mma_tile: expected at most %d x %d instructions, got %d x %d", most_rows, most_columns,
         rows, columns);
  MmaLane mine{type, d, a, b, rows, columns};
  meet(whole_warp, "mma", &mine, multiply_tile);
}

}  // namespace kinema::kernels::device::emulation
