// A step of a plan: forward, loss, backward and update, on all threads.
#include <chrono>
#include <cmath>

#include "fork.h"
#include "plan.h"

namespace convprop {

namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace

// ---- What is asked for ----

template <class T>
StepResult<T> Plan<T>::train_step(const Images<T>& images, const Targets<T>& targets, const double* sample_weight,
                                  double learning_rate, uint64_t step, uint64_t seed, double clip_norm) {
  const Descent descent{learning_rate, clip_norm};
  return run(images, targets, sample_weight, step, seed, &descent);
}

template <class T>
StepResult<T> Plan<T>::gradients(const Images<T>& images, const Targets<T>& targets, const double* sample_weight, uint64_t step,
                                 uint64_t seed) {
  return run(images, targets, sample_weight, step, seed, nullptr);
}

template <class T>
StepResult<T> Plan<T>::run(const Images<T>& images, const Targets<T>& targets, const double* sample_weight, uint64_t step,
                           uint64_t seed, const Descent* descent) {
  const Undivided undivided;
  const std::lock_guard<std::mutex> alone(running_);
  const FloatSettings settings;
  images_ = images, targets_ = targets, step_ = step, seed_ = seed, descent_ = descent;
  weigh_images(sample_weight);
  on_all_threads([&](const Place& at) { backward_pass(at); });
  return total_loss();
}

template <class T>
void Plan<T>::predict(const Images<T>& images, T* out) {
  const Undivided undivided;
  const std::lock_guard<std::mutex> alone(running_);
  images_ = images, step_ = 0, descent_ = nullptr;
  on_all_threads([&](const Place& at) {
    if (at.part == 0)
      for (int b = at.blocks.begin; b < at.blocks.end; b++) from_lanes(output_of(int(values_.size()) - 1, at), b, images_.count, out);
    meet(at);
  });
}

template <class T>
void Plan<T>::copy_out(const Maps<T>& maps, T* out) const {
  for (int b = 0; b < blocks_; b++) from_lanes(maps, b, images_.count, out);
}

// ---- Threads and their places ----

template <class T>
typename Plan<T>::Place Plan<T>::place_of(int thread, int units, int parts) {
  Place at;
  at.thread = thread, at.unit = thread / parts, at.part = thread % parts, at.parts = parts;
  at.groups = share(groups_, at.unit, units);
  at.barrier = barriers_[at.unit].get();
  return at;
}

// On every thread that has a place: the forward pass, then rest(place), for the blocks that are
// carried at once; then, all having ended it, finish(thread) on all.
template <class T>
template <class Rest>
void Plan<T>::on_all_threads(const Rest& rest) {
  blocks_ = blocks_of(images_.count);
  groups_ = std::min(blocks_, MOST_GROUPS);
  const int threads = mode_ == Mode::predict && images_.count == 1 && one_is_soon_done_ ? 1 : threads_;
  const int units = std::min(groups_, threads), parts = threads / units;
  const int spins = SharedPool::instance().spins(threads);
  for (int u = 0; u < units; u++) barriers_[u]->reset(parts, spins);
  barriers_.back()->reset(threads, spins);
  const auto work = [&](int thread) {
    if (!room_.empty()) transform_weights(thread, threads);
    if (thread < units * parts) {
      Place at = place_of(thread, units, parts);
      const int end = group_blocks(at.groups.end - 1).end;
      for (int b = group_blocks(at.groups.begin).begin; b < end; b += at_once_) {
        at.blocks = {b, std::min(b + at_once_, end)};
        forward_pass(at);
        rest(at);
      }
    }
    if (mode_ == Mode::predict) return;
    meet_all(thread);
    finish(thread);
  };
  SharedPool::instance().run(threads, work);
}

// For Winograd's algorithm, before any block.
template <class T>
void Plan<T>::transform_weights(int thread, int threads) {
  for (Op& op : ops_)
    if (auto* conv = std::get_if<ConvOp>(&op.what); conv && conv->winograd)
      timed(thread, op.layer, Pass::forward, [&] {
        Winograd<T>{conv->layer}.transform_weights(parameter(conv->weight), conv->transformed, share(conv->layer.K, thread, threads));
      });
  if (threads > 1) meet_all(thread);
}

template <class T>
void Plan<T>::meet(const Place& at) {
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
  weight_sum_ = 0;
  for (int n = 0; n < images_.count; n++) {
    image_weight_[n] = sample_weight ? sample_weight[targets_.row(n)] : 1.0;
    weight_sum_ += image_weight_[n];
  }
  const double divisor = mean_ && weight_sum_ > 0 ? weight_sum_ : 1.0;
  for (int n = 0; n < images_.count; n++) image_factor_[n] = T(image_weight_[n] / divisor);
}

template <class T>
StepResult<T> Plan<T>::total_loss() const {
  double loss = 0;
  int correct = 0;
  for (int n = 0; n < images_.count; n++) {
    loss += image_weight_[n] * image_loss_[n];
    correct += image_correct_[n];
  }
  return {mean_ && weight_sum_ > 0 ? loss / weight_sum_ : loss, correct};
}

template <class T>
void Plan<T>::loss(const Place& at) {
  const int last = int(values_.size()) - 1;
  const Maps<T> y = output_of(last, at), delta = delta_of(last, at);
  const LossLayer<T> layer{loss_, int(y.features())};
  for (int b = at.blocks.begin; b < at.blocks.end; b++)
    layer.forward(y, targets_, b, images_.count, image_factor_, delta, image_loss_, image_correct_);
}

// ---- Forward ----

// Calls to(batch) with the images as an array of the type they have.
template <class T>
template <class To>
void Plan<T>::read_images(const To& to) const {
  if (images_.bytes) to(Batch<T, uint8_t>{images_.bytes, images_.index, images_.count, images_.offset, images_.scale});
  else to(Batch<T, T>{images_.values, images_.index, images_.count, images_.offset, images_.scale});
}

template <class T>
void Plan<T>::forward_pass(const Place& at) {
  const Maps<T> input = output_of(0, at);
  if (by_image_) {
    // Of several images each has its thread; a single one's maps are divided among all.
    const bool single = images_.count == 1;
    const Range images = single ? Range{0, 1} : at.share_of(images_.count);
    for (int n = images.begin; n < images.end; n++) {
      if (!single || at.part == 0)
        timed(at.thread, -1, Pass::images, [&] { read_images([&](const auto& batch) { to_maps(batch, input, n); }); });
      for (int i = 0; i < head_; i++) {
        if (single) meet(at);
        const int C = values_[ops_[i].out].shape.C;
        timed(at.thread, ops_[i].layer, Pass::forward, [&] { forward_image(ops_[i], n, single ? at.share_of(C) : Range{0, C}, at); });
      }
    }
    meet(at);
  } else {
    for (int b = at.blocks.begin; b < at.blocks.end; b++) {
      if (at.part == 0) timed(at.thread, -1, Pass::images, [&] { read_images([&](const auto& batch) { to_lanes(batch, input, b); }); });
      meet(at);
      for (int i = 0; i < head_; i++) forward(ops_[i], {b, b + 1}, at);
    }
  }
  for (size_t i = head_; i < ops_.size(); i++) forward(ops_[i], at.blocks, at);
}

template <class T>
void Plan<T>::forward(Op& op, Range blocks, const Place& at) {
  const Maps<T> in = output_of(op.in, at), out = output_of(op.out, at);
  const Range maps = at.share_of(out.C);
  const auto each_block = [&](const auto& body) {
    for (int b = blocks.begin; b < blocks.end; b++) body(b);
  };
  timed(at.thread, op.layer, as<GatherOp>(op) ? Pass::images : Pass::forward, [&] {
    std::visit(Overloaded{
                   [&](ConvOp& conv) {
                     each_block([&](int b) {
                       const T* bias = parameter(conv.bias);
                       if (conv.winograd)
                         Winograd<T>{conv.layer}.forward(in, conv.transformed, bias, out, b, maps, conv.activation, room_[at.thread]);
                       else conv.layer.forward(in, parameter(conv.weight), bias, out, b, maps, conv.activation);
                     });
                   },
                   [&](DenseOp& dense) {
                     dense.layer.forward(in, parameter(dense.weight), parameter(dense.bias), out, blocks, maps, dense.activation);
                   },
                   [&](PoolOp& pool) {
                     const auto winner = of_unit(pool.winner, at);
                     each_block([&](int b) { pool.layer.forward(in, out, winner, b, maps); });
                   },
                   [&](ActivationLayer<T>& activation) { each_block([&](int b) { activation.forward(in, out, b, maps); }); },
                   [&](DropoutOp& dropout) {
                     each_block([&](int b) { dropout_now(dropout).forward(in, out, b, maps, seed_, step_, op.layer); });
                   },
                   [&](GatherOp&) {
                     for (int n = 0; n < images_.count; n++)
                       each_pixel(maps, in, [&](int c, int i, int j) { out.at(0, c, i, j)[n] = *in.at(n, c, i, j); });
                   },
               },
               op.what);
  });
  meet(at);
}

template <class T>
void Plan<T>::forward_image(Op& op, int n, Range maps, const Place& at) {
  const Maps<T> in = output_of(op.in, at), out = output_of(op.out, at);
  std::visit(Overloaded{
                 [&](ConvOp& conv) {
                   const T* bias = parameter(conv.bias);
                   if (conv.winograd)
                     Winograd<T>{conv.layer}.forward_image(in, conv.transformed, bias, out, n, maps, conv.activation, room_[at.thread]);
                   else ImageConv<T>{conv.layer}.forward(in, parameter(conv.weight), bias, out, n, maps, conv.activation);
                 },
                 [&](PoolOp& pool) { pool.layer.forward_image(in, out, of_unit(pool.winner, at), n, maps); },
                 [&](ActivationLayer<T>& activation) { activation.forward_image(in, out, n, maps); },
                 [&](DropoutOp& dropout) {
                   if (images_.count > 1 || at.part == 0) dropout_now(dropout).forward_image(in, out, n, seed_, step_, op.layer);
                 },
                 [](auto&) {},
             },
             op.what);
  const Value& value = values_[op.out];
  if (value.o_halo.any()) clear_margins(out, n, maps, value.padding_value);
}

// ---- Backward ----

template <class T>
void Plan<T>::backward_pass(const Place& at) {
  if (at.part == 0) timed(at.thread, -1, Pass::loss, [&] { loss(at); });
  meet(at);
  for (int i = int(ops_.size()) - 1; i >= std::max(head_, first_trainable_); i--) backward(ops_[i], at.blocks, 0, true, at);
  if (by_image_) {
    const Range images = at.share_of(images_.count);
    for (int n = images.begin; n < images.end; n++)
      for (int i = head_ - 1; i >= first_trainable_; i--) backward_image(ops_[i], n, at);
    return;
  }
  for (int g = at.groups.begin; g < at.groups.end; g++) {
    const Range group = group_blocks(g);
    for (int b = std::max(group.begin, at.blocks.begin); b < std::min(group.end, at.blocks.end); b++)
      for (int i = head_ - 1; i >= first_trainable_; i--) backward(ops_[i], {b, b + 1}, g, b == group.begin, at);
  }
}

template <class T>
void Plan<T>::backward(Op& op, Range blocks, int group, bool first_of_group, const Place& at) {
  const Maps<T> in = output_of(op.in, at), out = output_of(op.out, at);
  const Maps<T> delta = delta_of(op.out, at), delta_in = delta_of(op.in, at);
  const Range maps = at.share_of(in.C);
  const bool wants_input_delta = delta_in.data != nullptr;
  const auto each_block = [&](const auto& body) {
    for (int b = blocks.begin; b < blocks.end; b++) body(b);
  };
  const auto back = [&](const auto& body) { timed(at.thread, op.layer, Pass::input_delta, [&] { each_block(body); }); };
  std::visit(
      Overloaded{
          [&](ConvOp& conv) {
            each_block([&](int b) { backward_conv(conv, op, b, group, first_of_group, at); });
          },
          [&](DenseOp& dense) {
            const Range kernels = at.share_of(dense.layer.K), features = at.share_of(dense.layer.F);
            timed(at.thread, op.layer, Pass::weight_gradient, [&] {
              each_block([&](int b) {
                dense.activation.input_delta(delta, out, delta, b, kernels);
                DenseLayer<T>::rows_of(delta, b, dense.delta_rows, kernels);
                DenseLayer<T>::rows_of(in, b, dense.o_rows, features);
              });
            });
            if (!wants_input_delta) return;
            meet(at);
            timed(at.thread, op.layer, Pass::input_delta,
                  [&] { dense.layer.input_delta(delta, parameter(dense.weight), delta_in, blocks, features); });
          },
          [&](PoolOp& pool) {
            const auto winner = of_unit(pool.winner, at);
            if (pool.conv_before >= 0) {
              // Through the activation in between at once, into the convolution's own delta.
              const ConvOp& conv = std::get<ConvOp>(ops_[pool.conv_before].what);
              const auto route = [&](const auto& through) {
                back([&](int b) { pool.layer.input_delta(delta, in, out, winner, conv.delta[at.unit], b, maps, through); });
              };
              conv.activation.known([&](const auto& f) {
                route([&](const Lanes<T>& share, const Lanes<T>& o) { return share * f().derivative(o); });
              });
            } else {
              back([&](int b) { pool.layer.input_delta(delta, in, out, winner, delta_in, b, maps); });
            }
          },
          [&](ActivationLayer<T>& activation) { back([&](int b) { activation.input_delta(delta, out, delta_in, b, maps); }); },
          [&](DropoutOp& dropout) {
            back([&](int b) { dropout_now(dropout).forward(delta, delta_in, b, maps, seed_, step_, op.layer); });
          },
          [&](GatherOp&) {
            for (int n = 0; n < images_.count && wants_input_delta; n++)
              each_pixel(maps, in, [&](int c, int i, int j) { *delta_in.at(n, c, i, j) = delta.at(0, c, i, j)[n]; });
          },
      },
      op.what);
  meet(at);
}

template <class T>
void Plan<T>::backward_conv(ConvOp& conv, const Op& op, int block, int group, bool first_of_group, const Place& at) {
  const Maps<T> in = output_of(op.in, at), out = output_of(op.out, at);
  const Maps<T>& delta = conv.delta[at.unit];
  const Winograd<T> winograd{conv.layer};
  T* dw = conv.group_dw[group];
  const auto weights = [&](const auto& body) { timed(at.thread, op.layer, Pass::weight_gradient, body); };
  const Range kernels = at.share_of(out.C);
  weights([&] {
    if (!conv.delta_is_made) conv.activation.input_delta(delta_of(op.out, at), out, delta, block, kernels);
    if (conv.bias < 0) return;
    T* db = conv.group_db[group];
    if (first_of_group) std::fill(db + kernels.begin, db + kernels.end, T(0));
    conv.layer.bias_gradient(delta, db, block, kernels);
  });
  if (conv.winograd) {
    // Sixteen kernels go together, of which others of the team may have made the deltas.
    if (!conv.delta_is_made) meet(at);
    const Range vectors = at.share_of(int(winograd.kernel_lanes() / LANES));
    weights([&] { winograd.weight_gradient(in, delta, dw, first_of_group, block, vectors, room_[at.thread]); });
  } else {
    weights([&] {
      const ptrdiff_t each = conv.layer.weights() / conv.layer.K;
      if (first_of_group) std::fill(dw + kernels.begin * each, dw + kernels.end * each, T(0));
      conv.layer.weight_gradient(in, delta, dw, block, kernels);
    });
  }
  meet(at);
  const ConvOp* before = conv.conv_before >= 0 ? as<ConvOp>(ops_[conv.conv_before]) : nullptr;
  const Maps<T> delta_in = before ? before->delta[at.unit] : delta_of(op.in, at);
  const ActivationLayer<T> through = before ? before->activation : ActivationLayer<T>{};
  if (delta_in.data)
    timed(at.thread, op.layer, Pass::input_delta, [&] {
      const Range channels = at.share_of(in.C);
      if (conv.winograd) winograd.input_delta(delta, conv.transformed, delta_in, block, channels, through, in, room_[at.thread]);
      else conv.layer.input_delta(delta, parameter(conv.weight), delta_in, block, channels, through, in);
    });
  meet(at);
}

template <class T>
void Plan<T>::backward_image(Op& op, int n, const Place& at) {
  const Maps<T> in = output_of(op.in, at), out = output_of(op.out, at);
  const Maps<T> delta = delta_of(op.out, at), delta_in = delta_of(op.in, at);
  const auto back = [&](const auto& body) { timed(at.thread, op.layer, Pass::input_delta, body); };
  std::visit(Overloaded{
                 [&](ConvOp& conv) {
                   const ImageConv<T> layer{conv.layer};
                   const Maps<T>& x_delta = conv.delta[at.part];
                   timed(at.thread, op.layer, Pass::weight_gradient, [&] {
                     conv.activation.input_delta_image(delta, out, n, x_delta, 0);
                     clear_margins(x_delta, 0, {0, x_delta.C}, T(0));
                     layer.weight_gradient(in, x_delta, by_kernel_[at.part], conv.image_gradients + n * layer.gradient_size(), n);
                   });
                   if (delta_in.data) back([&] { layer.input_delta(x_delta, parameter(conv.weight), delta_in, n); });
                 },
                 [&](PoolOp& pool) {
                   back([&] { pool.layer.input_delta_image(delta, in, out, of_unit(pool.winner, at), delta_in, n); });
                 },
                 [&](ActivationLayer<T>& activation) { back([&] { activation.input_delta_image(delta, out, n, delta_in, n); }); },
                 [&](DropoutOp& dropout) {
                   back([&] { dropout_now(dropout).forward_image(delta, delta_in, n, seed_, step_, op.layer); });
                 },
                 [](auto&) {},
             },
             op.what);
}

// ---- Gradients and update ----

// Adds up the groups' gradients, by a tree whose shape the number of groups alone decides,
// makes those of the dense layers, and updates: every thread its own share of the elements.
template <class T>
void Plan<T>::finish(int thread) {
  if (by_image_) {
    for (Op& op : ops_)
      if (auto* conv = std::get_if<ConvOp>(&op.what)) {
        const ImageConv<T> layer{conv->layer};
        timed(thread, op.layer, Pass::weight_gradient, [&] {
          layer.add_images(conv->image_gradients, images_.count, conv->group_dw[0], conv->bias >= 0 ? conv->group_db[0] : nullptr,
                           share(layer.taps() + 1, thread, threads_));
        });
      }
    meet_all(thread);
  }
  const bool updates = descent_ && std::isfinite(total_loss().loss), clips = updates && descent_->clip_norm > 0;
  for (Op& op : ops_) {
    const auto update_here = [&](int parameter, ptrdiff_t begin, ptrdiff_t end) {
      if (updates && !clips) timed(thread, op.layer, Pass::update, [&] { update_range(parameter, begin, end); });
    };
    const auto add_groups = [&](const std::vector<T*>& sums, int parameter, int elements) {
      const Range part = share(elements, thread, threads_);
      timed(thread, op.layer, Pass::weight_gradient, [&] {
        for (int apart = 1; apart < groups_; apart *= 2)
          for (int g = 0; g + apart < groups_; g += 2 * apart)
            for (int e = part.begin; e < part.end; e++) sums[g][e] += sums[g + apart][e];
      });
      update_here(parameter, part.begin, part.end);
    };
    if (auto* conv = std::get_if<ConvOp>(&op.what)) {
      if (conv->winograd) {
        const Winograd<T> layer{conv->layer};
        const Range kernels = share(conv->layer.K, thread, threads_);
        timed(thread, op.layer, Pass::weight_gradient, [&] {
          layer.add_groups(conv->group_dw.data(), groups_, kernels);
          layer.gradient(conv->group_dw[0], gradients_[conv->weight], kernels);
        });
        const ptrdiff_t each = conv->layer.weights() / conv->layer.K;
        update_here(conv->weight, kernels.begin * each, kernels.end * each);
      } else {
        add_groups(conv->group_dw, conv->weight, int(conv->layer.weights()));
      }
      if (conv->bias >= 0) add_groups(conv->group_db, conv->bias, conv->layer.K);
    } else if (auto* dense = std::get_if<DenseOp>(&op.what)) {
      const Range kernels = share(dense->layer.K, thread, threads_);
      timed(thread, op.layer, Pass::weight_gradient, [&] {
        dense->layer.weight_gradient(dense->o_rows, dense->delta_rows, images_.count, gradients_[dense->weight], kernels);
      });
      update_here(dense->weight, ptrdiff_t(kernels.begin) * dense->layer.F, ptrdiff_t(kernels.end) * dense->layer.F);
      if (dense->bias < 0) continue;
      dense->layer.bias_gradient(dense->delta_rows, images_.count, gradients_[dense->bias], kernels);
      update_here(dense->bias, kernels.begin, kernels.end);
    }
  }
  if (clips) clip_and_update(thread);
}

// The norm comes from sums of squares over runs of elements that are the same for any number of
// threads, each in lanes; these sums are added up in order.
template <class T>
void Plan<T>::clip_and_update(int thread) {
  meet_all(thread);
  const Range mine = share(int(runs_.size()), thread, threads_);
  timed(thread, -1, Pass::update, [&] {
    for (int r = mine.begin; r < mine.end; r++) {
      const auto [parameter, begin, end] = runs_[r];
      const T* g = gradients_[parameter];
      Lanes<T> sum = T(0);
      ptrdiff_t i = begin;
      for (; i + LANES <= end; i += LANES) sum = fma(Lanes<T>::load(g + i), Lanes<T>::load(g + i), sum);
      alignas(VECTOR_BYTES) T tail[LANES] = {};
      std::copy(g + i, g + end, tail);
      square_sums_[r] = sum_of_lanes(fma(Lanes<T>::load(tail), Lanes<T>::load(tail), sum));
    }
  });
  meet_all(thread);
  timed(thread, -1, Pass::update, [&] {
    double squares = 0;
    for (double sum : square_sums_) squares += sum;
    const double norm = __builtin_sqrt(squares);
    for (int r = mine.begin; r < mine.end; r++) {
      const auto [parameter, begin, end] = runs_[r];
      if (norm > descent_->clip_norm) {
        const T scale = T(descent_->clip_norm / norm);
        for (ptrdiff_t i = begin; i < end; i++) gradients_[parameter][i] *= scale;
      }
      update_range(parameter, begin, end);
    }
  });
}

template <class T>
void Plan<T>::update_range(int parameter, ptrdiff_t begin, ptrdiff_t end) {
  const int slots = optimizer_.slots();
  T* const* state = state_.data() + ptrdiff_t(parameter) * slots;
  update(optimizer_, descent_->learning_rate, step_, parameters_[parameter], gradients_[parameter], state[0], slots > 1 ? state[1] : nullptr,
         begin, end);
}

// ---- Profiling ----

template <class T>
void Plan<T>::start_profile() {
  const std::lock_guard<std::mutex> alone(running_);
  seconds_.assign(size_t(threads_) * (layers() + 1) * PASSES, 0.0);
}

template <class T>
typename Plan<T>::Seconds Plan<T>::seconds(int layer, Pass pass) const {
  Seconds seconds;
  for (size_t at = size_t(layer + 1) * PASSES + size_t(pass); at < seconds_.size(); at += size_t(layers() + 1) * PASSES) {
    seconds.all += seconds_[at];
    seconds.longest = std::max(seconds.longest, seconds_[at]);
  }
  return seconds;
}

template <class T>
template <class Body>
void Plan<T>::timed(int thread, int layer, Pass pass, const Body& body) {
  if (seconds_.empty()) return body();
  const auto start = std::chrono::steady_clock::now();
  body();
  seconds_[(size_t(thread) * (layers() + 1) + (layer + 1)) * PASSES + size_t(pass)] +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template class Plan<float>;
template class Plan<double>;

}  // namespace convprop
