#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace kinema::engine::io {

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`.
/// Source: Damerau, CACM 1964 (restricted to disjoint edits). O(|a| |b|).
int edit_distance(std::string_view a, std::string_view b);

/// The name nearest to a mistyped one, or "" where none is near: at most a third of its letters
/// (and at least two) may differ, or one must begin with the other.
std::string nearest(std::string_view name, const std::vector<std::string>& names);

/// Whether `text` is UTF-8 (RFC 3629) without a zero byte: what JSON and a terminal can show.
bool is_text(std::string_view text);

/// "; did you mean 'X'?" for the nearest name, else "; known: 'A', 'B', ...".
std::string suggestion(std::string_view name, const std::vector<std::string>& names);

}  // namespace kinema::engine::io
