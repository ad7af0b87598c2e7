#include "engine/data/loader.h"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include <utility>
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
  bool made = true;  // there was room for it
  std::vector<int64_t> samples;
  std::vector<std::string> errors;  // of each sample; empty: it was read
  int64_t pending = 0;              // samples not yet done
};

/// Moves rows `from` on, `count` of them, to `to`, which is not behind.
void move_rows(Batch& batch, int64_t from, int64_t count, int64_t to) {
  if (from == to) return;
  if (!batch.raw.empty()) {
    std::move(batch.raw.begin() + from, batch.raw.begin() + from + count, batch.raw.begin() + to);
    return;
  }
  const View rows = batch.clips.view();
  const int64_t bytes = rows.stride(0) * kernels::size_of(Dtype::f32);
  auto* data = static_cast<char*>(rows.data);
  std::memmove(data + to * bytes, data + from * bytes, size_t(count * bytes));
}

/// Moves the rows of samples that were read together, to the front.
void leave_out_broken(Slot& slot) {
  int64_t kept = 0;
  Batch& b = slot.batch;
  for (size_t i = 0; i < slot.samples.size(); ++i) {
    if (!slot.errors[i].empty()) continue;
    move_rows(b, int64_t(i) * b.views, b.views, kept * b.views);
    slot.samples[size_t(kept++)] = slot.samples[i];
  }
  slot.samples.resize(size_t(kept));
  if (b.raw.empty())
    b.clips.layout = b.clips.view().slice(0, 0, kept * b.views);
  else
    b.raw.resize(size_t(kept * b.views));
}

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
  std::exception_ptr no_memory;
  bool stop = false;
  std::set<int64_t> left_out;  // samples; next() and the constructor alone touch it

  std::unique_ptr<ViewPieces> pieces;  // if given, it makes all batches
  std::vector<std::thread> threads;    // last: joined before the rest goes

  State(Dataset d, Recipe r, LoaderOptions o)
      : dataset(std::move(d)),
        recipe(r),
        options(o),
        reader(recipe, o.training, int64_t(dataset.samples.size()), o.cache_bytes, o.index,
               o.frame_cache) {}
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
  bool take_front(Batch& batch);
  void finish(Slot& slot) const;
  void note_broken(const std::vector<int64_t>& samples, const std::vector<std::string>& errors);
  void note_what_the_index_knows();
};

/// Makes room for a batch; under the mutex, so that its first sample alone does it.
void Loader::State::open_slot(int64_t batch) {
  const int64_t begin = batch * options.batch;
  const int64_t count = std::min(options.batch, end - begin);
  Slot slot;
  slot.pending = count;
  slot.batch.views = options.training ? 1 : recipe.views();
  slot.samples.assign(order.begin() + begin, order.begin() + begin + count);
  slot.errors.resize(size_t(count));
  try {
    const Shape shape = batch_shape(recipe, count, options.training);
    if (options.raw)
      slot.batch.raw.resize(size_t(shape[0]));
    else
      slot.batch.clips = empty(shape, Dtype::f32, Device::cpu);
  } catch (...) {  // for next() to throw
    slot.made = false;
    no_memory = std::current_exception();
  }
  slots.push_back(std::move(slot));
}

/// Decodes the sample at `place` of the order into its rows, without the mutex.
void Loader::State::make(int64_t place, Slot& slot, std::unique_lock<std::mutex>& lock) {
  const int64_t row = place % options.batch, views = slot.batch.views;
  const int64_t sample = order[size_t(place)];
  if (!slot.made) {
    --slot.pending;
    return ready.notify_all();
  }
  const ViewRows rows =
      options.raw ? ViewRows(std::span(slot.batch.raw).subspan(size_t(row * views), size_t(views)))
                  : ViewRows(slot.batch.clips.view().slice(0, row * views, views));
  const RandomKey key = sample_key(options.seed, epoch, sample);
  ++busy;
  lock.unlock();
  std::string error;
  std::exception_ptr short_of_memory;
  try {
    const Sample& s = dataset.samples[size_t(sample)];
    reader.read({s.path, name_of(dataset, s), sample}, key, rows);
  } catch (const std::bad_alloc&) {  // no fault of the file
    short_of_memory = std::current_exception();
  } catch (const std::exception& e) {
    error = e.what();
  }
  lock.lock();
  --busy;
  --slot.pending;
  slot.errors[size_t(row)] = error;
  if (short_of_memory) no_memory = short_of_memory;
  ready.notify_all();
}

/// Fills in what goes with the clips.
void Loader::State::finish(Slot& slot) const {
  Batch& b = slot.batch;
  std::vector<int64_t> labels;
  std::vector<float> targets;
  for (int64_t sample : slot.samples)
    for (int64_t view = 0; view < b.views; ++view) {
      const Sample& s = dataset.samples[size_t(sample)];
      b.index.push_back(sample);
      labels.push_back(s.label);
      if (!dataset.multi_label) continue;
      targets.resize(targets.size() + dataset.classes.size());
      for (int64_t label : s.labels) *(targets.end() - int64_t(dataset.classes.size()) + label) = 1;
    }
  const auto rows = int64_t(labels.size());
  b.labels = from_vector<int64_t>({rows}, labels, Device::cpu);
  if (dataset.multi_label)
    b.targets = from_vector<float>({rows, int64_t(dataset.classes.size())}, targets, Device::cpu);
}

/// Tells of samples that could not be read, or throws.
void Loader::State::note_broken(const std::vector<int64_t>& samples,
                                const std::vector<std::string>& errors) {
  std::vector<SkippedFile> found;
  for (size_t i = 0; i < samples.size(); ++i) {
    if (errors[i].empty()) continue;
    if (!options.skipped) throw Error(errors[i]);
    if (left_out.insert(samples[i]).second)
      found.push_back({dataset.samples[size_t(samples[i])].path, errors[i]});
  }
  if (!found.empty()) options.skipped->add(found, int64_t(left_out.size()), this->samples());
}

void Loader::State::note_what_the_index_knows() {
  if (!options.index || !options.skipped) return;
  std::vector<int64_t> broken;
  std::vector<std::string> errors;
  for (int64_t i = 0; i < samples(); ++i) {
    const IndexEntry* e = options.index->find(dataset.samples[size_t(i)].path);
    if (!e || e->error.empty()) continue;
    broken.push_back(i);
    errors.push_back(e->error);
  }
  note_broken(broken, errors);
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
  state_->note_what_the_index_knows();
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

/// Takes the front batch; false where none of its samples could be read.
bool Loader::State::take_front(Batch& batch) {
  std::unique_lock lock(mutex);
  const auto start = std::chrono::steady_clock::now();
  ready.wait(lock, [&] { return no_memory || (!slots.empty() && slots.front().pending == 0); });
  waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  Slot slot;
  try {
    if (no_memory) std::rethrow_exception(std::exchange(no_memory, nullptr));
    slot = std::move(slots.front());
    note_broken(slot.samples, slot.errors);
  } catch (...) {
    claimed = end = 0;
    throw;
  }
  slots.pop_front();
  ++front;
  lock.unlock();
  work.notify_all();
  leave_out_broken(slot);
  if (slot.samples.empty()) return false;
  finish(slot);
  batch = std::move(slot.batch);
  return true;
}

bool Loader::next(Batch& batch) {
  State& s = *state_;
  if (s.pieces) return s.pieces->next(batch);
  check(s.epoch >= 0, "loader: next() comes after start_epoch()");
  while (s.front * s.options.batch < s.end)
    if (s.take_front(batch)) return true;
  return false;
}

int64_t Loader::position() const { return state_->front; }

double Loader::wait_seconds() const {
  if (state_->pieces) return state_->pieces->wait_seconds();
  const std::lock_guard lock(state_->mutex);
  return state_->waited;
}

Tensor load_views(const std::string& path, const Recipe& recipe) {
  check_recipe(recipe);
  Tensor views = empty(batch_shape(recipe, 1, false), Dtype::f32, Device::cpu);
  SampleReader(recipe, false, 0, 0).read({path, path}, {}, views.view());
  return views;
}

}  // namespace kinema::engine::video
