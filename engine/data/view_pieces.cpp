#include "engine/data/view_pieces.h"
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>
#include "engine/data/video_views.h"

namespace kinema::engine::video {

namespace {

constexpr int64_t most_ahead = 8;  // more would only take memory

/// A piece, or why there is none.
struct Made {
  Batch batch = {};
  std::exception_ptr thrown = {};
};

}  // namespace

struct ViewPieces::State {
  const Dataset& dataset;
  const Recipe& recipe;
  const LoaderOptions& options;
  int64_t depth = 1;

  mutable std::mutex mutex;
  std::condition_variable changed;
  // All below under the mutex.
  std::deque<Made> ready;
  bool stop = false, ended = true;
  double waited = 0;

  std::set<int64_t> left_out;  // samples; next() alone touches it

  std::thread thread;

  State(const Dataset& d, const Recipe& r, const LoaderOptions& o)
      : dataset(d), recipe(r), options(o) {}
  void finish() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    changed.notify_all();
    if (thread.joinable()) thread.join();
  }
  bool put(Made made);
  bool take(Made& made);
  void note_broken(const Made& made);
  void make_from(int64_t sample);
  bool make(int64_t sample);
};

/// Waits for room; false if nobody wants more.
bool ViewPieces::State::put(Made made) {
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return stop || int64_t(ready.size()) < depth; });
  if (stop) return false;
  ready.push_back(std::move(made));
  changed.notify_all();
  return true;
}

/// All pieces of one sample; false if nobody wants more.
bool ViewPieces::State::make(int64_t sample) {
  const Sample& s = dataset.samples[size_t(sample)];
  const IndexEntry* known = options.index ? options.index->find(s.path) : nullptr;
  if (known && !known->error.empty()) throw Error(known->error);
  VideoReader reader(s.path, {.threads = options.threads});
  if (known) reader.set_list(known->list());
  VideoViews views(std::move(reader), recipe);
  while (views.left()) {
    const int64_t rows = std::min(options.views_at_once, views.left());
    Batch b;
    b.labels = full({rows}, double(s.label), Dtype::i64, Device::cpu);
    b.index.assign(size_t(rows), sample);
    b.views = rows;
    if (options.raw) {
      b.raw.resize(size_t(rows));
      views.next(std::span(b.raw));
    } else {
      const Shape shape = {rows, recipe.frames, recipe.height, recipe.width, 3};
      b.clips = empty(shape, Dtype::f32, Device::cpu);
      views.next(b.clips.view());
    }
    if (!put({std::move(b), nullptr})) return false;
  }
  return true;
}

void ViewPieces::State::make_from(int64_t sample) {
  for (; sample < int64_t(dataset.samples.size()); ++sample) {
    try {
      if (!make(sample)) return;
    } catch (...) {
      Made broken{.thrown = std::current_exception()};
      broken.batch.index = {sample};
      if (!put(std::move(broken))) return;
    }
  }
  const std::lock_guard lock(mutex);
  ended = true;
  changed.notify_all();
}

ViewPieces::ViewPieces(const Dataset& dataset, const Recipe& recipe, const LoaderOptions& options)
    : state_(new State(dataset, recipe, options)) {
  Recipe one = recipe;
  one.clips = one.crops = 1;
  const int64_t bytes = batch_bytes(one, options.views_at_once, false);
  check(bytes <= options.memory_cap_bytes, "loader: ", options.views_at_once, " views take ", bytes,
        " bytes, more than the memory cap of ", options.memory_cap_bytes,
        "; take a smaller batch or a larger cap");
  state_->depth = std::min(most_ahead, options.memory_cap_bytes / bytes);
}
ViewPieces::~ViewPieces() { state_->finish(); }

int64_t ViewPieces::pieces_a_sample() const {
  const int64_t each = state_->options.views_at_once;
  return (state_->recipe.views() + each - 1) / each;
}

void ViewPieces::start(int64_t first) {
  check(first % pieces_a_sample() == 0, "loader: an epoch of views in pieces begins with a video");
  State& s = *state_;
  s.finish();
  s.ready.clear();
  s.stop = s.ended = false;
  s.thread = std::thread([&s, sample = first / pieces_a_sample()] { s.make_from(sample); });
}

/// Takes what was made first; false at the end.
bool ViewPieces::State::take(Made& made) {
  std::unique_lock lock(mutex);
  const auto start = std::chrono::steady_clock::now();
  changed.wait(lock, [&] { return ended || !ready.empty(); });
  waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (ready.empty()) return false;
  made = std::move(ready.front());
  ready.pop_front();
  lock.unlock();
  changed.notify_all();
  return true;
}

/// Tells of a sample that could not be read, or throws: what comes behind it is not wanted then.
void ViewPieces::State::note_broken(const Made& made) {
  const int64_t sample = made.batch.index[0];
  try {
    if (!options.skipped) std::rethrow_exception(made.thrown);
    try {
      std::rethrow_exception(made.thrown);
    } catch (const Error& e) {  // others, as a want of memory, are no fault of the file
      left_out.insert(sample);
      options.skipped->add({{dataset.samples[size_t(sample)].path, e.what()}},
                           int64_t(left_out.size()), int64_t(dataset.samples.size()));
    }
  } catch (...) {
    finish();
    ready.clear();
    ended = true;
    throw;
  }
}

bool ViewPieces::next(Batch& batch) {
  for (Made made; state_->take(made);) {
    if (made.thrown) {
      state_->note_broken(made);
      continue;
    }
    batch = std::move(made.batch);
    return true;
  }
  return false;
}

double ViewPieces::wait_seconds() const {
  const std::lock_guard lock(state_->mutex);
  return state_->waited;
}

}  // namespace kinema::engine::video
