#include "engine/io/safetensors.h"
#include <fmt/format.h>
#include <zlib.h>
#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include "engine/io/files.h"
#include "engine/ops/copy.h"

namespace kinema::engine::io {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

namespace {

using nlohmann::json;
using Path = std::filesystem::path;

/// The format's own limit: what would make a reader allocate without end.
constexpr uint64_t longest_header = 100'000'000;

/// How the checksum stands in the header's text: in no string, whose quotes would be escaped.
constexpr const char* checksum_key = "\"crc32\":\"";
constexpr size_t checksum_digits = 8;

/// Runs over a whole file, the digits of the checksum itself taken as zeros.
class Checksum {
 public:
  void add(const void* bytes, int64_t count) {
    sum_ = crc32_z(sum_, static_cast<const Bytef*>(bytes), size_t(count));
  }
  /// The header: its length, then its text.
  void add_header(std::string text) {
    const uint64_t length = text.size();
    add(&length, sizeof length);
    const size_t at = text.find(checksum_key);
    if (at != std::string::npos)
      text.replace(at + std::strlen(checksum_key), checksum_digits, 8, '0');
    add(text.data(), int64_t(length));
  }
  std::string text() const { return fmt::format("{:08x}", sum_); }

 private:
  uLong sum_ = 0;
};

struct FileType {
  const char* name;
  Dtype dtype;
};
constexpr FileType file_types[] = {{"F32", Dtype::f32},  {"F64", Dtype::f64}, {"U8", Dtype::u8},
                                   {"I32", Dtype::i32},  {"I64", Dtype::i64}, {"F16", Dtype::f16},
                                   {"BF16", Dtype::bf16}};

struct Entry {
  std::string name;
  const FileType* type = nullptr;
  Shape shape;
  uint64_t begin = 0, end = 0;
};

/// What every refusal of one file begins with.
std::string prefix(const Path& path) { return "safetensors: \"" + path.string() + "\": "; }

json parse_header(const std::string& text, const std::string& file) {
  // A name that comes twice would silently hide a tensor.
  std::set<std::string> names;
  auto unique = [&](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::key && depth == 1)
      check(names.insert(value.get<std::string>()).second, file, "tensor '",
            value.get<std::string>(), "' is listed twice");
    return true;
  };
  try {
    return json::parse(text, unique);
  } catch (const json::exception&) {
    fail(file, "the header is not valid JSON; this is no safetensors file, or it is damaged");
  }
}

Entry parse_entry(const std::string& name, const json& value, const std::string& file) {
  const std::string where = file + "tensor '" + name + "' ";
  check(value.is_object() && value.contains("dtype") && value.contains("shape") &&
            value.contains("data_offsets") && value["dtype"].is_string() &&
            value["shape"].is_array() && value["data_offsets"].is_array(),
        where, "lacks its dtype, shape or data_offsets");
  Entry e;
  e.name = name;
  const std::string type = value["dtype"].get<std::string>();
  for (const FileType& t : file_types)
    if (type == t.name) e.type = &t;
  check(e.type, where, "has type ", type, "; known are F32, F64, F16, BF16, U8, I32, I64");
  check(value["shape"].size() <= size_t(kernels::max_rank), where, "has ", value["shape"].size(),
        " axes; at most ", kernels::max_rank, " are supported");
  int64_t bytes = kernels::size_of(e.type->dtype),
          extent = 64;  // strides must not overflow beside an axis of 0
  for (const json& size : value["shape"]) {
    check(size.is_number_unsigned() && size.get<uint64_t>() <= uint64_t(INT64_MAX), where,
          "has a size that is no whole number: ", size.dump());
    e.shape.dim[size_t(e.shape.rank++)] = size.get<int64_t>();
    check(!__builtin_mul_overflow(extent, std::max<int64_t>(e.shape[-1], 1), &extent), where,
          "of shape ", e.shape, " is larger than any memory");
    bytes *= e.shape[-1];
  }
  const json& at = value["data_offsets"];
  check(at.size() == 2 && at[0].is_number_unsigned() && at[1].is_number_unsigned(), where,
        "has data_offsets that are not two whole numbers");
  e.begin = at[0].get<uint64_t>();
  e.end = at[1].get<uint64_t>();
  check(e.begin <= e.end && e.end - e.begin == uint64_t(bytes), where, "of type ", type,
        " and shape ", e.shape, " takes ", bytes, " bytes, but its data_offsets are ", e.begin,
        " to ", e.end);
  return e;
}

/// Entries in the order of their data, which they must cover without overlap or gap.
std::vector<Entry> parse_entries(const json& header, uint64_t data_bytes, const std::string& file) {
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items())
    if (name != "__metadata__") entries.push_back(parse_entry(name, value, file));
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t at = 0;
  for (const Entry& e : entries) {
    check(e.end <= data_bytes, file, "tensor '", e.name, "' ends at byte ", e.end, " of ",
          data_bytes, " of data; the file is truncated");
    check(e.begin >= at, file, "tensor '", e.name, "' overlaps the one before it");
    check(e.begin == at, file, "no tensor covers bytes ", at, " to ", e.begin, " of the data");
    at = e.end;
  }
  check(at == data_bytes, file, "no tensor covers bytes ", at, " to ", data_bytes, " of the data");
  return entries;
}

Metadata parse_metadata(const json& header, const std::string& file) {
  Metadata metadata;
  if (!header.contains("__metadata__")) return metadata;
  const json& map = header["__metadata__"];
  check(map.is_object(), file, "__metadata__ is no map of strings");
  for (const auto& [key, value] : map.items()) {
    check(value.is_string(), file, "__metadata__ is no map of strings");
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

/// Fills t from dense row-major bytes, row by row: only t itself may be large.
void read_rows(std::istream& in, const Tensor& t, Checksum& sum) {
  if (!t.size()) return;
  const kernels::RowOffsets offset(t.layout);
  const int64_t size = kernels::size_of(t.dtype());
  for (int64_t r = 0; r < offset.rows(); ++r) {
    char* row = static_cast<char*>(t.layout.data) + offset(r) * size;
    in.read(row, t.shape(-1) * size);
    sum.add(row, t.shape(-1) * size);
  }
}

/// f(bytes, count) for each row of each tensor, in the order of the file. One tensor at a time
/// comes from a GPU: memory of the CPU does not grow with a network.
template <class F>
void each_row(const std::vector<NamedValue>& tensors, const F& f) {
  for (const auto& [name, value] : tensors) {
    const Tensor t = to_device(value, Device::cpu);
    const kernels::RowOffsets offset(t.layout);
    const int64_t size = kernels::size_of(t.dtype());
    for (int64_t r = 0; t.size() && r < offset.rows(); ++r)
      f(static_cast<const char*>(t.layout.data) + offset(r) * size, t.shape(-1) * size);
  }
}

const char* file_type_of(Dtype dtype) {
  for (const FileType& t : file_types)
    if (t.dtype == dtype) return t.name;
  fail("safetensors: no file type for ", dtype);
}

}  // namespace

Tensor TensorFile::find(const std::string& name) const {
  for (const NamedValue& t : tensors)
    if (t.name == name) return t.value;
  return {};
}

TensorFile read_safetensors(const Path& path) {
  const std::string file = prefix(path);
  std::ifstream in(path, std::ios::binary);
  std::error_code error;
  const uint64_t bytes = std::filesystem::file_size(path, error);
  check(bool(in) && !error, file,
        "cannot be opened: ", error ? error.message() : std::string("no permission"));
  uint64_t length = 0;
  check(bytes >= sizeof length, file, "is truncated: ", bytes, " bytes hold no header length");
  in.read(reinterpret_cast<char*>(&length), sizeof length);
  check(length <= std::min(longest_header, bytes - sizeof length), file, "the header length ",
        length, " does not fit in ", bytes,
        " bytes; this is no safetensors file, or it is cut off");
  std::string text(length, '\0');
  in.read(text.data(), std::streamsize(length));
  const json header = parse_header(text, file);
  check(header.is_object(), file, "the header is no JSON object");
  TensorFile result;
  result.metadata = parse_metadata(header, file);
  Checksum sum;
  sum.add_header(text);
  for (const Entry& e : parse_entries(header, bytes - sizeof length - length, file)) {
    const Tensor t = empty(e.shape.rank ? e.shape : Shape{1}, e.type->dtype, Device::cpu);
    read_rows(in, t, sum);
    result.tensors.push_back({e.name, t});
  }
  check(bool(in), file, "could not be read to its end");
  const auto expected = result.metadata.find("crc32");
  check(expected == result.metadata.end() || expected->second == sum.text(), file,
        "is damaged: its checksum is ", sum.text(), ", but it was written with ",
        expected == result.metadata.end() ? "" : expected->second);
  return result;
}

void write_safetensors(const Path& path, const std::vector<NamedValue>& tensors,
                       const Metadata& metadata) {
  json header = {{"__metadata__", metadata}};
  header["__metadata__"]["crc32"] = std::string(checksum_digits, '0');
  int64_t at = 0;
  for (const auto& [name, t] : tensors) {
    check(!header.contains(name), prefix(path), "tensor '", name, "' was given twice");
    check(t.device() != Device::meta, prefix(path), "tensor '", name, "' has no values");
    const int64_t end = at + t.size() * kernels::size_of(t.dtype());
    header[name] = {{"dtype", file_type_of(t.dtype())},
                    {"shape", std::vector<int64_t>(t.shape().begin(), t.shape().end())},
                    {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text = header.dump();
  text.resize(size_t(kernels::round_up(int64_t(text.size()), 8)), ' ');  // aligns the data
  Checksum sum;
  sum.add_header(text);
  each_row(tensors, [&](const char* row, int64_t bytes) { sum.add(row, bytes); });
  text.replace(text.find(checksum_key) + std::strlen(checksum_key), checksum_digits, sum.text());
  write_whole(path, [&](std::ostream& out) {
    const uint64_t length = text.size();
    out.write(reinterpret_cast<const char*>(&length), sizeof length);
    out << text;
    each_row(tensors, [&](const char* row, int64_t bytes) { out.write(row, bytes); });
  });
}

}  // namespace kinema::engine::io
