#pragma once
#include <vector>

namespace kinema::test {

/// A fault planted by make_mutants.py. Number i + 1 is mutants[i]; `mutant` says which is on, 0:
/// none.
struct Mutant {
  const char* file;
  const char* what;
};
extern const std::vector<Mutant> mutants;
extern int mutant;

}  // namespace kinema::test
