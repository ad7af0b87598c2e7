#include "engine/data/video_index.h"
#include <sys/stat.h>
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>
#include "engine/io/files.h"
#include "engine/io/fingerprint.h"

namespace kinema::engine::video {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int64_t index_version = 1;

std::string key_of(const std::string& path) {
  return fs::absolute(path).lexically_normal().string();
}

json line_of(const std::string& path, const IndexEntry& e) {
  return {{"path", path},
          {"bytes", e.stamp.bytes},
          {"modified", e.stamp.modified},
          {"size", {e.size.height, e.size.width}},
          {"fps", e.fps},
          {"rotation", e.rotation},
          {"error", e.error},
          {"frames", e.frames},
          {"by_timestamp", e.by_timestamp},
          {"timestamps", e.timestamps},
          {"key_pts", e.key_pts},
          {"key_dts", e.key_dts}};
}

IndexEntry entry_of(const json& line) {
  IndexEntry e;
  line.at("bytes").get_to(e.stamp.bytes);
  line.at("modified").get_to(e.stamp.modified);
  line.at("size").at(0).get_to(e.size.height);
  line.at("size").at(1).get_to(e.size.width);
  line.at("fps").get_to(e.fps);
  line.at("rotation").get_to(e.rotation);
  line.at("error").get_to(e.error);
  line.at("frames").get_to(e.frames);
  line.at("by_timestamp").get_to(e.by_timestamp);
  line.at("timestamps").get_to(e.timestamps);
  line.at("key_pts").get_to(e.key_pts);
  line.at("key_dts").get_to(e.key_dts);
  return e;
}

std::string fingerprint_of(const std::string& text) {
  io::Fingerprint f;
  f.add(text);
  return f.hex();
}

}  // namespace

std::optional<FileStamp> stamp_of(const std::string& path) {
  struct stat s {};
  if (::stat(path.c_str(), &s) != 0) return {};
  return FileStamp{S_ISDIR(s.st_mode) ? 0 : int64_t(s.st_size),
                   int64_t(s.st_mtim.tv_sec) * 1'000'000'000 + s.st_mtim.tv_nsec};
}

std::vector<int64_t> runs_of(const std::vector<int64_t>& values) {
  if (values.empty()) return {};
  std::vector<int64_t> runs{values[0]};
  for (size_t i = 1; i < values.size(); ++i) {
    const int64_t step = values[i] - values[i - 1];
    if (runs.size() == 1 || runs[runs.size() - 2] != step) runs.insert(runs.end(), {step, 0});
    ++runs.back();
  }
  return runs;
}

std::vector<int64_t> from_runs(const std::vector<int64_t>& runs) {
  std::vector<int64_t> values;
  if (!runs.empty()) values.push_back(runs[0]);
  for (size_t i = 1; i + 1 < runs.size(); i += 2)
    for (int64_t n = 0; n < runs[i + 1]; ++n) values.push_back(values.back() + runs[i]);
  return values;
}

FrameList IndexEntry::list() const {
  FrameList list{
      .frames = frames, .by_timestamp = by_timestamp, .timestamps = from_runs(timestamps)};
  const std::vector<int64_t> pts = from_runs(key_pts), dts = from_runs(key_dts);
  for (size_t i = 0; i < pts.size(); ++i) list.keys.push_back({pts[i], dts[i]});
  return list;
}

IndexEntry look_at(const std::string& path) {
  IndexEntry e;
  e.stamp = stamp_of(path).value_or(FileStamp{});
  try {
    VideoReader reader(path);
    const FrameList& list = reader.list();
    check(list.frames > 0, "video: no frame of ", path, " can be decoded");
    e.size = reader.info().size;
    e.fps = reader.info().fps;
    e.rotation = reader.info().rotation;
    e.frames = list.frames;
    e.by_timestamp = list.by_timestamp;
    std::vector<int64_t> pts, dts;
    for (const FrameList::Key& k : list.keys) {
      pts.push_back(k.pts);
      dts.push_back(k.dts);
    }
    e.timestamps = runs_of(list.timestamps);
    e.key_pts = runs_of(pts);
    e.key_dts = runs_of(dts);
  } catch (const std::exception& error) {
    e.error = error.what();
  }
  return e;
}

void VideoIndex::read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string head, rest;
  check(bool(std::getline(in, head)), "it is empty");
  std::ostringstream all;
  all << in.rdbuf();
  rest = all.str();
  try {
    const json h = json::parse(head);
    const int64_t version = h.at("kinema_index").get<int64_t>();
    check(version == index_version, "it has version ", version, ", this program reads version ",
          index_version);
    check(h.at("fingerprint") == fingerprint_of(rest), "it is damaged or cut off");
    std::istringstream lines(rest);
    for (std::string text; std::getline(lines, text);) {
      const json line = json::parse(text);
      entries_[line.at("path").get<std::string>()] = entry_of(line);
    }
  } catch (const json::exception&) {
    entries_.clear();
    fail("it is damaged or no index");
  }
}

void VideoIndex::write(const fs::path& file) const {
  std::string rest;
  int64_t count = 0;
  for (const auto& [path, entry] : entries_) {
    try {
      rest += line_of(path, entry).dump() + '\n';
      ++count;
    } catch (const json::type_error&) {  // a name or text that is no UTF-8 cannot stand in JSON
    }
  }
  const json head = {
      {"kinema_index", index_version}, {"entries", count}, {"fingerprint", fingerprint_of(rest)}};
  fs::create_directories(fs::absolute(file).parent_path());
  io::write_whole(file, [&](std::ostream& out) { out << head.dump() << '\n' << rest; });
}

/// Looks at what has no entry; returns how many videos these were.
int64_t VideoIndex::refresh(const std::vector<std::string>& paths, int threads,
                            const Progress& progress) {
  std::map<std::string, std::string> wanted;  // by key: the path as given, which errors name
  for (const std::string& path : paths) {
    const IndexEntry* e = find(path);
    if (!e || !e->error.empty()) wanted[key_of(path)] = path;
  }
  const std::vector<std::pair<std::string, std::string>> list(wanted.begin(), wanted.end());
  std::vector<IndexEntry> found(list.size());
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  int64_t done = 0;
  const auto work = [&] {
    for (size_t i = next++; i < list.size(); i = next++) {
      found[i] = look_at(list[i].second);
      const std::lock_guard lock(mutex);
      ++done;
      if (progress) progress(done, int64_t(list.size()));
    }
  };
  std::vector<std::thread> helpers;
  for (int t = 1; t < threads && size_t(t) < list.size(); ++t) helpers.emplace_back(work);
  work();
  for (std::thread& t : helpers) t.join();
  for (size_t i = 0; i < list.size(); ++i) entries_[list[i].first] = std::move(found[i]);
  return int64_t(list.size());
}

VideoIndex VideoIndex::open(const fs::path& file, const std::vector<std::string>& paths,
                            int threads, const Warn& warn, const Progress& progress) {
  VideoIndex index;
  std::error_code failed;
  if (!file.empty() && fs::exists(file, failed)) {
    try {
      index.read(file);
    } catch (const Error& e) {
      warn("the index " + file.string() + " is built anew: " + e.what());
    }
  }
  if (index.refresh(paths, threads, progress) == 0 || file.empty()) return index;
  std::set<std::string> wanted;
  for (const std::string& path : paths) wanted.insert(key_of(path));
  std::erase_if(index.entries_,
                [&](const auto& e) { return !wanted.contains(e.first) && !stamp_of(e.first); });
  try {
    index.write(file);
  } catch (const std::exception& e) {
    warn("the index " + file.string() + " cannot be kept: " + e.what());
  }
  return index;
}

const IndexEntry* VideoIndex::find(const std::string& path) const {
  const auto at = entries_.find(key_of(path));
  if (at == entries_.end()) return nullptr;
  const std::optional<FileStamp> now = stamp_of(path);
  return now && *now == at->second.stamp ? &at->second : nullptr;
}

fs::path default_index(const std::string& path) {
  fs::path cache;
  if (const char* named = std::getenv("XDG_CACHE_HOME"); named && *named) {
    cache = named;
  } else if (const char* home = std::getenv("HOME"); home && *home) {
    cache = fs::path(home) / ".cache";
  } else {
    return {};
  }
  return cache / "kinema/index" / (fingerprint_of(key_of(path)) + ".json");
}

}  // namespace kinema::engine::video
