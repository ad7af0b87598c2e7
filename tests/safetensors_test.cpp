#include "engine/io/safetensors.h"
#include <cstring>
#include <filesystem>
#include <fstream>
#include "engine/io/files.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {
namespace {

using engine::io::load_weights, engine::io::read_safetensors, engine::io::save_weights,
    engine::io::TensorFile, engine::io::write_safetensors;
using engine::nn::Module;

/// Two parameters and a buffer of shapes that carry zero lanes.
struct Small : Module {
  Tensor weight, gain, mean;
  explicit Small(int64_t width = 3) {
    weight = random({2, 1, 3, 3, width}, 1);
    gain = random({5}, 2);
    mean = random({2, 5}, 3);
    add_parameter("conv.weight", weight);
    add_parameter("norm.gain", gain);
    add_buffer("norm.mean", mean);
  }
};

void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A file of this header and `data` bytes behind it.
std::string file_of(const std::string& header, size_t data) {
  std::string bytes(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data, '\1');
}

TEST(Safetensors, EveryTypeComesBackAsItWas) {
  const Folder folder;
  const Tensor wide = random({2, 2, 3, 5, 45}), f64 = random({3}, 2, Dtype::f64);
  const Tensor u8 = from_vector<uint8_t>({2, 3}, {0, 1, 2, 253, 254, 255});
  const Tensor i32 = from_vector<int32_t>({1, 2}, {-7, 1 << 30});
  const Tensor i64 = from_vector<int64_t>({2}, {-1, int64_t(1) << 40});
  const Tensor none = empty({0, 4});
  write_safetensors(folder / "a",
                    {{"w", wide}, {"d", f64}, {"u", u8}, {"i", i32}, {"l", i64}, {"none", none}},
                    {{"key", "a \"quoted\" value"}});
  const TensorFile file = read_safetensors(folder / "a");
  EXPECT_EQ(file.metadata.at("key"), "a \"quoted\" value");
  EXPECT_EQ(file.tensors.size(), 6u);
  EXPECT_EQ(to_vector<float>(file.find("w")), to_vector<float>(wide));
  EXPECT_TRUE(tail_is_zero(file.find("w")));
  EXPECT_EQ(to_vector<double>(file.find("d")), to_vector<double>(f64));
  EXPECT_EQ(to_vector<uint8_t>(file.find("u")), to_vector<uint8_t>(u8));
  EXPECT_EQ(to_vector<int32_t>(file.find("i")), to_vector<int32_t>(i32));
  EXPECT_EQ(to_vector<int64_t>(file.find("l")), to_vector<int64_t>(i64));
  EXPECT_EQ(file.find("none").shape(), (Shape{0, 4}));
  EXPECT_FALSE(file.find("other"));
}

TEST(Safetensors, DataIsDenseAndAligned) {
  const Folder folder;
  write_safetensors(folder / "a", {{"x", random({3, 5})}});
  const std::string bytes = read_bytes(folder / "a");
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0u);
  EXPECT_EQ(bytes.size(), 8 + length + 15 * sizeof(float));
}

TEST(Safetensors, HalfPrecisionStaysWhatItIs) {
  const Folder folder;
  // 1.5, -2, the smallest subnormal, infinity; then 1.5 and -2 as bf16.
  const uint16_t words[] = {0x3e00, 0xc000, 0x0001, 0x7c00, 0x3fc0, 0xc000};
  std::string bytes = file_of(R"({"h":{"dtype":"F16","shape":[4],"data_offsets":[0,8]},)"
                              R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]}})",
                              12);
  std::memcpy(bytes.data() + bytes.size() - 12, words, 12);
  write_bytes(folder / "a", bytes);
  const TensorFile file = read_safetensors(folder / "a");
  EXPECT_EQ(file.find("h").dtype(), Dtype::f16);
  EXPECT_EQ(file.find("b").dtype(), Dtype::bf16);
  EXPECT_EQ(floats(file.find("h")), (std::vector<float>{1.5f, -2, 0x1p-24f, INFINITY}));
  EXPECT_EQ(floats(file.find("b")), (std::vector<float>{1.5f, -2}));
  write_safetensors(folder / "b", file.tensors);
  EXPECT_EQ(to_vector<float>(cast(read_safetensors(folder / "b").find("h"), Dtype::f32)),
            floats(file.find("h")));
}

TEST(Safetensors, HalfPrecisionLoadsIntoParametersOfF32) {
  const Folder folder;
  struct Net : nn::Module {
    Tensor weight = full({3, 5}, 0);
    Net() { add_parameter("weight", weight); }
  } net;
  for (Dtype type : {Dtype::bf16, Dtype::f16}) {
    const Tensor narrow = random({3, 5}, 1, type);
    write_safetensors(folder / "a", {{"weight", narrow}});
    load_weights(net, folder / "a");
    EXPECT_EQ(net.weight.dtype(), Dtype::f32);
    EXPECT_EQ(to_vector<float>(net.weight), floats(narrow));
  }
}

TEST(Safetensors, EachDamageIsNamed) {
  const Folder folder;
  const std::string path = (folder / "a").string(), at = "safetensors: \"" + path + "\": ";
  auto refused = [&](const std::string& bytes) {
    write_bytes(path, bytes);
    const std::string text = refusal([&] { read_safetensors(path); });
    return text.starts_with(at) ? text.substr(at.size()) : "unexpected: " + text;
  };
  const std::string x = R"("dtype":"F32","shape":[2],"data_offsets")";
  EXPECT_EQ(refused("abc"), "is truncated: 3 bytes hold no header length");
  EXPECT_EQ(refused("a text file, no weights"),
            "the header length 7359009851570397281 does not fit in 23 bytes; this is no "
            "safetensors file, or it is cut off");
  EXPECT_EQ(refused(file_of("{\"x\":", 0)),
            "the header is not valid JSON; this is no safetensors file, or it is damaged");
  EXPECT_EQ(refused(file_of("[1]", 0)), "the header is no JSON object");
  EXPECT_EQ(refused(file_of("{\"x\":{" + x + ":[0,8]},\"x\":{" + x + ":[0,8]}}", 8)),
            "tensor 'x' is listed twice");
  EXPECT_EQ(refused(file_of("{\"x\":{\"shape\":[2]}}", 8)),
            "tensor 'x' lacks its dtype, shape or data_offsets");
  EXPECT_EQ(refused(file_of("{\"x\":{" + x + ":[0,4]}}", 4)),
            "tensor 'x' of type F32 and shape [2] takes 8 bytes, but its data_offsets are 0 to 4");
  EXPECT_EQ(refused(file_of("{\"x\":{" + x + ":[8,0]}}", 8)),
            "tensor 'x' of type F32 and shape [2] takes 8 bytes, but its data_offsets are 8 to 0");
  EXPECT_EQ(refused(file_of("{\"x\":{" + x + ":[0,8]}}", 5)),
            "tensor 'x' ends at byte 8 of 5 of data; the file is truncated");
  EXPECT_EQ(refused(file_of("{\"x\":{" + x + ":[0,8]},\"y\":{" + x + ":[4,12]}}", 12)),
            "tensor 'y' overlaps the one before it");
  EXPECT_EQ(refused(file_of("{\"x\":{" + x + ":[0,8]},\"y\":{" + x + ":[12,20]}}", 20)),
            "no tensor covers bytes 8 to 12 of the data");
  EXPECT_EQ(refused(file_of("{\"x\":{" + x + ":[0,8]}}", 9)),
            "no tensor covers bytes 8 to 9 of the data");
  EXPECT_EQ(refused(file_of(R"({"x":{"dtype":"F8","shape":[2],"data_offsets":[0,2]}})", 2)),
            "tensor 'x' has type F8; known are F32, F64, F16, BF16, U8, I32, I64");
  EXPECT_EQ(refused(file_of(R"({"x":{"dtype":"U8","shape":[-2],"data_offsets":[0,2]}})", 2)),
            "tensor 'x' has a size that is no whole number: -2");
  EXPECT_EQ(refused(file_of(R"({"x":{"dtype":"U8","shape":[0,4611686018427387904],)"
                            R"("data_offsets":[0,0]}})",
                            0)),
            "tensor 'x' of shape [0,4611686018427387904] is larger than any memory");
  EXPECT_EQ(refused(file_of(R"({"__metadata__":{"a":1}})", 0)),
            "__metadata__ is no map of strings");
  EXPECT_EQ(refusal([&] { read_safetensors(folder / "none"); }),
            "safetensors: \"" + (folder / "none").string() +
                "\": cannot be opened: No such file or directory");
}

/// Whatever one byte turns into, and wherever the file ends, a reader refuses or reads: it never
/// crashes (the sanitizers watch) and never lets anything but Error out.
TEST(Safetensors, NoDamagedByteOrCutIsMoreThanARefusal) {
  const Folder folder;
  write_safetensors(folder / "a", {{"x", random({2, 3})}, {"y", random({4})}}, {{"k", "v"}});
  const std::string good = read_bytes(folder / "a");
  for (size_t cut = 0; cut < good.size(); ++cut) {
    write_bytes(folder / "b", good.substr(0, cut));
    EXPECT_NE(refusal([&] { read_safetensors(folder / "b"); }), "") << "cut at " << cut;
  }
  const size_t header = good.size() - 10 * sizeof(float);
  for (size_t i = 0; i < header; ++i)
    for (char c : {'\0', '\xff', '9', '"', '}'}) {
      std::string bad = good;
      bad[i] = c;
      write_bytes(folder / "b", bad);
      (void)refusal([&] { read_safetensors(folder / "b"); });
    }
}

TEST(Weights, ComeBackIntoTheSameMemory) {
  const Folder folder;
  const Small from;
  save_weights(from, folder / "a");
  Small to;
  for (Tensor* t : {&to.weight, &to.gain, &to.mean}) fill(*t, 0);
  const void* memory = to.weight.layout.data;
  load_weights(to, folder / "a");
  EXPECT_EQ(to.weight.layout.data, memory);
  EXPECT_EQ(to_vector<float>(to.weight), to_vector<float>(from.weight));
  EXPECT_EQ(to_vector<float>(to.gain), to_vector<float>(from.gain));
  EXPECT_EQ(to_vector<float>(to.mean), to_vector<float>(from.mean));
}

TEST(Weights, OfAnotherNetworkAreListedAndNothingChanges) {
  const Folder folder;
  const Small from(4);
  std::vector<engine::io::NamedValue> tensors{{"conv.weight", from.weight},
                                              {"norm.gain", from.gain}};
  for (int i = 0; i < 10; ++i) tensors.push_back({"extra" + std::to_string(i), from.gain});
  write_safetensors(folder / "a", tensors);
  const Small to;
  const std::vector<float> before = to_vector<float>(to.gain);
  EXPECT_EQ(refusal([&] { load_weights(to, folder / "a"); }),
            "weights: \"" + (folder / "a").string() +
                "\" does not fit this network: 1 missing (norm.mean), 10 extra (extra0, extra1, "
                "extra2, extra3, extra4, extra5, extra6, extra7, ...), 1 of another shape "
                "(conv.weight: expected [2,1,3,3,3], got [2,1,3,3,4])");
  EXPECT_EQ(to_vector<float>(to.gain), before);
}

TEST(WriteWhole, AFailureLeavesTheOldFileAndNoOther) {
  const Folder folder;
  write_bytes(folder / "a", "before");
  EXPECT_EQ(refusal([&] {
              engine::io::write_whole(folder / "a", [](std::ostream& out) {
                out << "half";
                kernels::fail("stopped");
              });
            }),
            "stopped");
  EXPECT_EQ(read_bytes(folder / "a"), "before");
  EXPECT_EQ(folder.entries(), std::vector<std::string>{"a"});
  EXPECT_NE(refusal([&] {
              engine::io::write_whole(folder / "none" / "a", [](std::ostream&) {});
            }).find("write: cannot create a file in"),
            std::string::npos);
}

}  // namespace
}  // namespace kinema::test
