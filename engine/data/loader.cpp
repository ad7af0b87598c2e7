#include "engine/data/loader.h"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <numeric>
#include <thread>
#include "engine/data/sample_reader.h"
#include "engine/data/view_pieces.h"

namespace kinema::engine::video {

namespace {

/// Batches that are decoded ahead at most: more would only take memory.
constexpr int64_t most_ahead = 8;

Shape batch_shape(const Recipe& r, int64_t samples, bool training) {
  return {samples * (training ? 1 : r.views()), r.frames, r.height, r.width, 3};
}

/// A batch on its way.
struct Slot {
  Batch batch;
  int64_t pending = 0;        // samples not yet done
  int64_t failed_row = 0;     // of the first sample that failed
  std::exception_ptr thrown;  // and what it threw
};

}  // namespace

int64_t batch_bytes(const Recipe& recipe, int64_t samples, bool training) {
  const Shape shape = batch_shape(recipe, samples, training);
  const View layout = kernels::fresh_layout(Dtype::f32, shape);
  int64_t bytes = 0;
  const int64_t clip = layout.stride(0) * kernels::size_of(Dtype::f32) + 8;
  return __builtin_mul_overflow(shape[0], clip, &bytes) ? INT64_MAX : bytes;
}

struct Loader::State {
  Dataset dataset;
  Recipe recipe;
  LoaderOptions options;
  SampleReader reader;
  int64_t depth = 1;  // batches that the memory cap allows

  std::mutex mutex;
  std::condition_variable work, ready;
  // All below under the mutex.
  std::deque<Slot> slots;  // from batch `front` on
  int64_t front = 0;       // the batch that next() gives next
  int64_t claimed = 0;     // places of the order that a worker has taken
  int64_t end = 0;         // places of this epoch
  int64_t busy = 0;        // workers at a sample
  int64_t epoch = -1;
  std::vector<int64_t> order;
  double waited = 0;
  bool stop = false;

  std::unique_ptr<ViewPieces> pieces;  // if given, it makes all batches
  std::vector<std::thread> threads;    // last: joined before the rest goes

  State(Dataset d, Recipe r, LoaderOptions o)
      : dataset(std::move(d)),
        recipe(r),
        options(o),
        reader(recipe, o.training, int64_t(dataset.samples.size()), o.cache_bytes) {}
  ~State() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    work.notify_all();
    for (std::thread& t : threads) t.join();
  }

  int64_t samples() const { return int64_t(dataset.samples.size()); }
  int64_t batches() const {
    if (pieces) return samples() * pieces->pieces_a_sample();
    const int64_t full = samples() / options.batch;
    return full + (!options.drop_last && samples() % options.batch ? 1 : 0);
  }
  bool can_claim() const { return claimed < end && claimed / options.batch < front + depth; }
  void work_loop();
  void open_slot(int64_t batch);
  void make(int64_t place, Slot& slot, std::unique_lock<std::mutex>& lock);
};

/// Makes room for a batch; under the mutex, so that its first sample alone does it.
void Loader::State::open_slot(int64_t batch) {
  const int64_t begin = batch * options.batch;
  const int64_t count = std::min(options.batch, end - begin);
  Slot slot;
  slot.pending = count;
  slot.batch.views = options.training ? 1 : recipe.views();
  try {
    const Shape shape = batch_shape(recipe, count, options.training);
    slot.batch.clips = empty(shape, Dtype::f32, Device::cpu);
  } catch (...) {  // no memory: for next() to say
    slot.thrown = std::current_exception();
  }
  std::vector<int64_t> labels;
  for (int64_t row = 0; row < count * slot.batch.views; ++row) {
    const int64_t sample = order[size_t(begin + row / slot.batch.views)];
    slot.batch.index.push_back(sample);
    labels.push_back(dataset.samples[size_t(sample)].label);
  }
  slot.batch.labels = from_vector<int64_t>({int64_t(labels.size())}, labels);
  slots.push_back(std::move(slot));
}

/// Decodes the sample at `place` of the order into its rows, without the mutex.
void Loader::State::make(int64_t place, Slot& slot, std::unique_lock<std::mutex>& lock) {
  const int64_t row = place % options.batch, views = slot.batch.views;
  const int64_t sample = order[size_t(place)];
  if (!slot.batch.clips) {
    --slot.pending;
    return ready.notify_all();
  }
  const View rows = slot.batch.clips.view().slice(0, row * views, views);
  const RandomKey key = sample_key(options.seed, epoch, sample);
  ++busy;
  lock.unlock();
  std::exception_ptr thrown;
  try {
    reader.read(dataset.samples[size_t(sample)].path, sample, key, rows);
  } catch (...) {
    thrown = std::current_exception();
  }
  lock.lock();
  --busy;
  --slot.pending;
  if (thrown && (!slot.thrown || row < slot.failed_row)) {
    slot.thrown = thrown;
    slot.failed_row = row;
  }
  ready.notify_all();
}

void Loader::State::work_loop() {
  std::unique_lock lock(mutex);
  for (;;) {
    work.wait(lock, [&] { return stop || can_claim(); });
    if (stop) return;
    const int64_t place = claimed++, batch = place / options.batch;
    if (place % options.batch == 0) open_slot(batch);
    // References into a deque outlive what is pushed and popped at its ends.
    make(place, slots[size_t(batch - front)], lock);
  }
}

Loader::Loader(Dataset dataset, Recipe recipe, LoaderOptions options) {
  check_recipe(recipe);
  check(!dataset.samples.empty(), "loader: the data set is empty");
  check(options.batch >= 1, "loader: batch must be positive, got ", options.batch);
  check(options.threads >= 1, "loader: threads must be positive, got ", options.threads);
  const int64_t samples = int64_t(dataset.samples.size()), at_once = options.views_at_once;
  if (!options.training && at_once > 0 && recipe.views() > at_once) {
    state_ = std::make_unique<State>(std::move(dataset), recipe, options);
    state_->pieces = std::make_unique<ViewPieces>(state_->dataset, state_->recipe, state_->options);
    return;
  }
  check(!options.drop_last || samples >= options.batch, "loader: ", samples,
        " samples are less than one batch of ", options.batch, ", and short ones are dropped");
  const int64_t bytes = batch_bytes(recipe, std::min(options.batch, samples), options.training);
  check(bytes <= options.memory_cap_bytes, "loader: one batch takes ", bytes,
        " bytes, more than the memory cap of ", options.memory_cap_bytes,
        "; take a smaller batch or a larger cap");
  state_ = std::make_unique<State>(std::move(dataset), recipe, options);
  state_->depth = std::min(most_ahead, options.memory_cap_bytes / bytes);
  for (int i = 0; i < options.threads; ++i)
    state_->threads.emplace_back([s = state_.get()] { s->work_loop(); });
}
Loader::~Loader() = default;

const Dataset& Loader::dataset() const { return state_->dataset; }
const Recipe& Loader::recipe() const { return state_->recipe; }
const LoaderOptions& Loader::options() const { return state_->options; }
int64_t Loader::batches() const { return state_->batches(); }

void Loader::start_epoch(int64_t epoch, int64_t first_batch) {
  State& s = *state_;
  check(first_batch >= 0 && first_batch <= s.batches(), "loader: an epoch has ", s.batches(),
        " batches, asked to begin with batch ", first_batch);
  if (s.pieces) return s.pieces->start(first_batch);
  std::unique_lock lock(s.mutex);
  s.end = s.claimed;  // nobody begins another sample of the epoch before
  s.ready.wait(lock, [&] { return s.busy == 0; });
  s.slots.clear();
  s.epoch = epoch;
  s.order.resize(size_t(s.samples()));
  std::iota(s.order.begin(), s.order.end(), int64_t(0));
  if (s.options.shuffle) s.order = shuffled(s.samples(), s.options.seed, epoch);
  s.front = first_batch;
  s.end = std::min(s.samples(), s.batches() * s.options.batch);
  s.claimed = std::min(s.end, first_batch * s.options.batch);
  lock.unlock();
  s.work.notify_all();
}

bool Loader::next(Batch& batch) {
  State& s = *state_;
  if (s.pieces) return s.pieces->next(batch);
  std::unique_lock lock(s.mutex);
  check(s.epoch >= 0, "loader: next() comes after start_epoch()");
  if (s.front * s.options.batch >= s.end) return false;
  const auto start = std::chrono::steady_clock::now();
  s.ready.wait(lock, [&] { return !s.slots.empty() && s.slots.front().pending == 0; });
  s.waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (s.slots.front().thrown) {
    const std::exception_ptr thrown = s.slots.front().thrown;
    s.claimed = s.end = 0;
    lock.unlock();
    std::rethrow_exception(thrown);
  }
  batch = std::move(s.slots.front().batch);
  s.slots.pop_front();
  ++s.front;
  lock.unlock();
  s.work.notify_all();
  return true;
}

double Loader::wait_seconds() const {
  if (state_->pieces) return state_->pieces->wait_seconds();
  const std::lock_guard lock(state_->mutex);
  return state_->waited;
}

Tensor load_views(const std::string& path, const Recipe& recipe) {
  check_recipe(recipe);
  Tensor views = empty(batch_shape(recipe, 1, false), Dtype::f32, Device::cpu);
  SampleReader(recipe, false, 0, 0).read(path, 0, {}, views.view());
  return views;
}

}  // namespace kinema::engine::video
