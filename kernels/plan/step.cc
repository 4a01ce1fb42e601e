// A step of a plan: forward, loss and backward, on all threads. What an operation does, it knows itself.
#include <cmath>
#include <numeric>

#include "machine/fork.h"
#include "plan/plan.h"

namespace convprop {

// ---- What is asked for ----

template <class T>
StepResult<T> Plan<T>::train_step(const Images<T>& images, const Targets<T>& targets, const double* sample_weight,
                                  double learning_rate, uint64_t step, uint64_t seed, double clip_norm, int whole) {
  const Descent descent{learning_rate, clip_norm};
  return run(images, targets, sample_weight, step, seed, &descent, whole);
}

template <class T>
StepResult<T> Plan<T>::gradients(const Images<T>& images, const Targets<T>& targets, const double* sample_weight, uint64_t step,
                                 uint64_t seed) {
  return run(images, targets, sample_weight, step, seed, nullptr);
}

template <class T>
StepResult<T> Plan<T>::run(const Images<T>& images, const Targets<T>& targets, const double* sample_weight, uint64_t step,
                           uint64_t seed, const Descent* descent, int whole) {
  const Undivided undivided;
  const std::lock_guard<std::mutex> alone(running_);
  const FloatSettings settings;
  images_ = images, targets_ = targets, descent_ = descent;
  step_ = {{whole ? whole : images.count}, {images.first / LANES, blocks_of(images.first + images.count)}, step, seed, image_weight_};
  if (images.first == 0) weigh_images(sample_weight);
  on_all_threads([&](const Share& at) { backward_pass(at); });
  return is_last_part() ? total_loss() : StepResult<T>{0, 0};
}

template <class T>
void Plan<T>::predict(const Images<T>& images, T* out) {
  const Undivided undivided;
  const std::lock_guard<std::mutex> alone(running_);
  images_ = images, descent_ = nullptr;
  step_ = {{images.count}, {0, blocks_of(images.count)}};
  on_all_threads([&](const Share& at) {
    if (at.part == 0)
      for (int b = at.blocks.begin; b < at.blocks.end; b++) from_lanes(values_[layers_.back().value].output(at), b, images_.count, out);
    meet(at);
  });
}

template <class T>
void Plan<T>::copy_out(const Maps<T>& maps, T* out) const {
  for (int b = 0; b < step_.groups.blocks(); b++) from_lanes(maps, b, images_.count, out);
}

template <class T>
void Plan<T>::start_profile() {
  const std::lock_guard<std::mutex> alone(running_);
  profile_.start(threads_, layers());
}

// ---- Threads and their shares ----

template <class T>
Share Plan<T>::share_of(int thread, int units, int parts, Range groups) {
  const int unit = thread / parts;
  Range own = share(groups.end - groups.begin, unit, units);
  own.begin += groups.begin, own.end += groups.begin;
  return {&step_, barriers_[unit].get(), thread, unit, thread % parts, parts, own, {0, 0}};
}

// On every thread that has a share: the segments before the last one; of the last the forward pass, then
// rest(share), for the blocks that are carried at once; the other segments back; then, all having ended
// it, finish(thread) on all.
template <class T>
template <class Rest>
void Plan<T>::on_all_threads(const Rest& rest) {
  const int threads = mode_ == Mode::predict && images_.count == 1 && one_is_soon_done_ ? 1 : threads_;
  Range groups{0, step_.groups.count()};  // that have blocks here
  while (group_blocks(groups.begin).end <= step_.part.begin) groups.begin++;
  while (group_blocks(groups.end - 1).begin >= step_.part.end) groups.end--;
  const int units = std::min(groups.end - groups.begin, threads), parts = threads / units;
  const int spins = SharedPool::instance().spins(threads);
  for (int u = 0; u < units; u++) barriers_[u]->reset(parts, spins);
  barriers_.back()->reset(threads, spins);
  const auto work = [&](int thread) {
    prepare(thread, threads);
    const int last = int(segments_.size()) - 1;
    const bool works = thread < units * parts;
    Share at{};
    Range all{0, 0};
    if (works) {
      at = share_of(thread, units, parts, groups);
      all = at.blocks = {std::max(group_blocks(at.groups.begin).begin, step_.part.begin), std::min(group_blocks(at.groups.end - 1).end, step_.part.end)};
    }
    for (int s = 0; s < last; s++) {
      if (works) forward_segment(s, at);
      cross(s + 1, thread, threads, true);
    }
    for (int b = all.begin; b < all.end; b += at_once_) {
      at.blocks = {b, std::min(b + at_once_, all.end)};
      forward_pass(at);
      rest(at);
    }
    if (mode_ == Mode::predict) return;
    at.blocks = all;
    for (int s = last - 1; s >= 0; s--) {
      cross(s + 1, thread, threads, false);
      if (works) backward_segment(s, at);
    }
    meet_all(thread);
    add_part(thread);
    if (is_last_part()) finish(thread);
  };
  SharedPool::instance().run(threads, work);
}

template <class T>
void Plan<T>::prepare(int thread, int threads) {
  bool prepared = false;
  const Share at{&step_, nullptr, thread, 0, 0, 1, {0, 0}, {0, 0}};
  for (Operation& operation : operations_)
    std::visit([&](const auto& op) {
      if constexpr (requires { op.prepare(operands(operation, at), thread, threads); }) {
        timed(thread, operation.layer, Pass::forward, [&] { op.prepare(operands(operation, at), thread, threads); });
        prepared = true;
      }
    }, operation.op);
  if (prepared && threads > 1) meet_all(thread);
}

template <class T>
void Plan<T>::meet(const Share& at) {
  if (at.parts > 1) timed(at.thread, -1, Pass::wait, [&] { at.barrier->arrive_and_wait(); });
}

template <class T>
void Plan<T>::meet_all(int thread) {
  timed(thread, -1, Pass::wait, [&] { barriers_.back()->arrive_and_wait(); });
}

// ---- The loss ----

// The factor of each image's loss in E: its weight, over the sum of the weights for the mean.
template <class T>
void Plan<T>::weigh_images(const double* sample_weight) {
  const int images = step_.groups.images;
  const bool in_order = images > images_.count;  // as those of a batch in parts are given
  for (int n = 0; n < images; n++) image_weight_[n] = sample_weight ? sample_weight[in_order ? n : targets_.row(n)] : 1.0;
  weight_sum_ = step_.groups.sum([&](Range images) {
    double sum = 0;
    for (int n = images.begin; n < images.end; n++) sum += image_weight_[n];
    return sum;
  });
  const double divisor = mean_ && weight_sum_ > 0 ? weight_sum_ : 1.0;
  for (int n = 0; n < images; n++) image_factor_[n] = T(image_weight_[n] / divisor);
}

template <class T>
StepResult<T> Plan<T>::total_loss() const {
  const double loss = step_.groups.sum([&](Range images) {
    double sum = 0;
    for (int n = images.begin; n < images.end; n++) sum += image_weight_[n] * image_loss_[n];
    return sum;
  });
  const int correct = std::accumulate(image_correct_, image_correct_ + step_.groups.images, 0);
  return {mean_ && weight_sum_ > 0 ? loss / weight_sum_ : loss, correct};
}

template <class T>
void Plan<T>::loss(const Share& at) {
  const Value<T>& last = values_[layers_.back().value];
  const Maps<T> y = last.output(at), delta = last.error(at);
  const LossLayer<T> layer{loss_, int(y.features())};
  for (int b = at.blocks.begin; b < at.blocks.end; b++)
    layer.forward(y, targets_, b, images_.first + images_.count, image_factor_, delta, image_loss_, image_correct_);
}

// ---- Forward ----

// Calls to(batch) with the images as an array of the type they have.
template <class T>
template <class To>
void Plan<T>::read_images(const To& to) const {
  const int end = images_.first + images_.count;
  if (images_.bytes) to(Batch<T, uint8_t>{images_.bytes, images_.index, end, images_.offset, images_.scale, images_.first});
  else to(Batch<T, T>{images_.values, images_.index, end, images_.offset, images_.scale, images_.first});
}

template <class T>
void Plan<T>::read_block(int block, const Share& at) {
  const Maps<T> input = values_[0].output(at);
  if (at.part == 0) timed(at.thread, -1, Pass::images, [&] { read_images([&](const auto& batch) { to_lanes(batch, input, block); }); });
  meet(at);
}

// body(block, share), with the block's group.
template <class T>
template <class Body>
void Plan<T>::each_block(const Share& at, const Body& body) {
  Share here = at;
  for (here.group = at.groups.begin; here.group < at.groups.end; here.group++) {
    const Range group = group_blocks(here.group);
    for (int b = std::max(group.begin, at.blocks.begin); b < std::min(group.end, at.blocks.end); b++) {
      here.first_of_group = b == group.begin;
      body(b, here);
    }
  }
}

// Between a segment and the one before it: what all images say, or all deltas.
template <class T>
void Plan<T>::cross(int segment, int thread, int threads, bool forwards) {
  meet_all(thread);
  const Share at{&step_, nullptr, thread, 0, 0, 1, {0, 0}, {0, 0}};
  for (int i = segments_[segment].begin; i < segments_[segment].end; i++)
    std::visit([&](const auto& op) {
      if constexpr (requires { op.begin(operands(operations_[i], at), step_, thread, threads); }) {
        const auto v = operands(operations_[i], at);
        timed(thread, operations_[i].layer, forwards ? Pass::forward : Pass::weight_gradient, [&] {
          forwards ? op.begin(v, step_, thread, threads) : op.end(v, step_, thread, threads);
        });
      }
    }, operations_[i].op);
  meet_all(thread);
}

// A segment that others follow, block by block.
template <class T>
void Plan<T>::forward_segment(int segment, const Share& at) {
  each_block(at, [&](int b, Share here) {
    here.blocks = {b, b + 1};
    if (segment == 0) read_block(b, here);
    for (int i = segments_[segment].begin; i < segments_[segment].end; i++) forward(operations_[i], here.blocks, here);
  });
}

template <class T>
void Plan<T>::backward_segment(int segment, const Share& at) {
  each_block(at, [&](int b, Share here) {
    here.blocks = {b, b + 1};
    if (segment == 0 && !values_[0].whole_batch) read_block(b, here);
    for (int i = segments_[segment].begin; i < segments_[segment].end; i++)
      if (operations_[i].again) forward(operations_[i], here.blocks, here);
    for (int i = segments_[segment].end - 1; i >= segments_[segment].begin; i--) backward(operations_[i], here.blocks, here);
  });
}

template <class T>
void Plan<T>::forward_pass(const Share& at) {
  const Maps<T> input = values_[0].output(at);
  if (by_image_) {
    // Of several images each has its thread; a single one's maps are divided among all.
    const bool single = images_.count == 1;
    const Range images = single ? Range{0, 1} : at.share_of(images_.count);
    for (int n = images.begin; n < images.end; n++) {
      if (!single || at.part == 0)
        timed(at.thread, -1, Pass::images, [&] { read_images([&](const auto& batch) { to_maps(batch, input, n); }); });
      for (int i = 0; i < head_; i++) {
        if (single) meet(at);
        const int C = values_[operations_[i].gives].shape.C;
        forward_image(operations_[i], n, single ? at.share_of(C) : Range{0, C}, at);
      }
    }
    meet(at);
  } else {
    each_block(at, [&](int b, const Share& here) {
      if (segments_.size() == 1) read_block(b, here);
      for (int i = segments_.back().begin; i < head_; i++) forward(operations_[i], {b, b + 1}, here);
    });
  }
  for (size_t i = head_; i < operations_.size(); i++) forward(operations_[i], at.blocks, at);
}

template <class T>
void Plan<T>::forward(Operation& operation, Range blocks, const Share& at) {
  const Operands<T> v = operands(operation, at);
  std::visit([&](const auto& op) {
    if constexpr (requires { op.forward(v, blocks, at); })
      timed(at.thread, operation.layer, operation.layer < 0 ? Pass::images : Pass::forward, [&] { op.forward(v, blocks, at); });
  }, operation.op);
  meet(at);
}

template <class T>
void Plan<T>::forward_image(Operation& operation, int n, Range maps, const Share& at) {
  const Operands<T> v = operands(operation, at);
  std::visit([&](const auto& op) {
    if constexpr (requires { op.forward_image(v, n, maps, at); })
      timed(at.thread, operation.layer, Pass::forward, [&] { op.forward_image(v, n, maps, at); });
  }, operation.op);
  if (v.gives.halo.any()) clear_margins(v.out(), n, maps, v.gives.padding_value);
}

// ---- Backward ----

template <class T>
void Plan<T>::backward_pass(const Share& at) {
  if (at.part == 0) timed(at.thread, -1, Pass::loss, [&] { loss(at); });
  meet(at);
  for (int i = int(operations_.size()) - 1; i >= head_; i--) backward(operations_[i], at.blocks, at);
  if (by_image_) {
    const Range images = at.share_of(images_.count);
    for (int n = images.begin; n < images.end; n++)
      for (int i = head_ - 1; i >= 0; i--) backward_image(operations_[i], n, at);
    return;
  }
  each_block(at, [&](int b, const Share& here) {
    for (int i = head_ - 1; i >= segments_.back().begin; i--) backward(operations_[i], {b, b + 1}, here);
  });
}

template <class T>
void Plan<T>::backward(Operation& operation, Range blocks, const Share& at) {
  if (!operation.backward) return;
  const Operands<T> v = operands(operation, at);
  const auto gradients = [&](const auto& body) {
    timed(at.thread, operation.layer, operation.trains() ? Pass::weight_gradient : Pass::input_delta, body);
  };
  std::visit([&](const auto& op) {
    if constexpr (requires { op.make_delta(v, blocks, at); }) {
      bool made = false;
      gradients([&] { made = op.make_delta(v, blocks, at); });
      if (made) meet(at);
    }
    if constexpr (requires { op.weight_gradient(v, blocks, at); })
      if (operation.trains() || requires { op.SUMS_FOR_DELTA; }) {
        gradients([&] { op.weight_gradient(v, blocks, at); });
        meet(at);
      }
    if constexpr (requires { op.input_delta(v, blocks, at); })
      if (v.wants_delta()) {
        timed(at.thread, operation.layer, Pass::input_delta, [&] { op.input_delta(v, blocks, at); });
        meet(at);
      }
  }, operation.op);
}

template <class T>
void Plan<T>::backward_image(Operation& operation, int n, const Share& at) {
  if (!operation.backward) return;
  const Operands<T> v = operands(operation, at);
  std::visit([&](const auto& op) {
    if constexpr (requires { op.weight_gradient_image(v, n, at); })
      timed(at.thread, operation.layer, operation.trains() ? Pass::weight_gradient : Pass::input_delta,
            [&] { op.weight_gradient_image(v, n, at); });
    if constexpr (requires { op.input_delta_image(v, n, at); })
      if (v.wants_delta()) timed(at.thread, operation.layer, Pass::input_delta, [&] { op.input_delta_image(v, n, at); });
  }, operation.op);
}

template class Plan<float>;
template class Plan<double>;

}  // namespace convprop
