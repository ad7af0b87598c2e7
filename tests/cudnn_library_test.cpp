// labels: ci, cudnn
#include <gtest/gtest.h>
#include <cstdlib>
#include <fstream>
#include "kernels/cudnn/library.h"
#include "kernels/cudnn/nvidia_libraries.h"
#include "tests/support/folder.h"

// How NVIDIA's libraries are found, what is said where they are not, and that they open without a
// GPU, which only a handle needs.

namespace kinema::test {
namespace {

namespace cudnn = kernels::cudnn;
using kernels::Error;

template <class F>
std::string refusal_of(const F& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(SharedLibrary, SaysWhatIsMissingAndWhatToDo) {
  const std::string text =
      refusal_of([] { cudnn::SharedLibrary({"libkinema_none.so.9"}, "", "cuDNN"); });
  EXPECT_TRUE(has(text, "cuDNN: libkinema_none.so.9 cannot be opened")) << text;
  EXPECT_TRUE(has(text, "KINEMA_CUDA_LIBRARIES")) << text;
}

/// The C library under another name, in a folder and as pip's packages lie.
TEST(SharedLibrary, LooksIntoTheFoldersFirst) {
  const cudnn::SharedLibrary c({"libc.so.6"}, "", "the C library");
  for (const char* inside : {".", "cudnn/lib"}) {
    const Folder folder;
    std::filesystem::create_directories(folder / inside);
    const auto copy = folder / inside / "libkinema_copy.so.9";
    std::filesystem::copy_file(c.path(), copy);
    const cudnn::SharedLibrary found({"libkinema_other.so", "libkinema_copy.so.9"},
                                     "/nowhere::" + folder.path().string(), "the copy");
    EXPECT_TRUE(std::filesystem::equivalent(found.path(), copy)) << found.path();
  }
}

TEST(SharedLibrary, RefusesABrokenFileThatAFolderNames) {
  const Folder folder;
  std::ofstream(folder / "libc.so.6") << "no library";
  const std::string text =
      refusal_of([&] { cudnn::SharedLibrary({"libc.so.6"}, folder.path().string(), "C"); });
  EXPECT_TRUE(has(text, "C: expected to open") && has(text, folder.path().string())) << text;
}

TEST(SharedLibrary, NamesAFunctionThatIsNotThere) {
  const cudnn::SharedLibrary c({"libc.so.6"}, "", "the C library");
  void (*function)() = nullptr;
  EXPECT_EQ(refusal_of([&] { c.find("abort", function); }), "");
  EXPECT_EQ(reinterpret_cast<void*>(function), reinterpret_cast<void*>(&abort));
  const std::string text = refusal_of([&] { c.find("kinema_none", function); });
  EXPECT_TRUE(has(text, "expected the function kinema_none")) << text;
}

TEST(NvidiaLibraries, AreFoundOrSaidToBeMissing) {
  for (const kernels::NvidiaLibrary& l : kernels::nvidia_libraries()) {
    if (l.missing.empty()) {
      EXPECT_TRUE(has(l.path, "/lib")) << l.name << ": " << l.path;
      EXPECT_GE(std::atoi(l.version.c_str()), 9) << l.name << ": " << l.version;
    } else {
      EXPECT_TRUE(has(l.missing, std::string(l.name) + ": lib")) << l.missing;
    }
  }
}

TEST(NvidiaLibraries, WarnsOfTheVersionsWhoseConvolutionsAreWrong) {
  for (const int64_t version : {90800, 91000, 91401}) {
    const std::string warning = kernels::warning_of_cudnn(version);
    EXPECT_TRUE(has(warning, "9.15")) << version << ": " << warning;
  }
  for (const int64_t version : {90000, 90701, 91500, 91900})
    EXPECT_EQ(kernels::warning_of_cudnn(version), "") << version;
}

/// On a machine with a GPU it is one; elsewhere cuDNN's own words come through.
TEST(Cudnn, AHandleWithoutAGpuIsAnError) {
  if (!kernels::nvidia_libraries().front().missing.empty())
    GTEST_SKIP() << kernels::nvidia_libraries().front().missing;
  const std::string text = refusal_of([] { EXPECT_NE(cudnn::handle({}), nullptr); });
  EXPECT_TRUE(text.empty() || has(text, "cuDNN: cuDNN says CUDNN_STATUS_NOT_INITIALIZED")) << text;
  std::cout << (text.empty() ? "a GPU is at hand" : text) << '\n';
}

}  // namespace
}  // namespace kinema::test
