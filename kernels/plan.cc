#include "plan.h"

#include <chrono>
#include <cmath>

namespace convprop {

namespace {

constexpr int MOST_GROUPS = 8;

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace

// ---- Building ----

template <class T>
Plan<T>::Plan(Shape input, const std::vector<LayerSpec>& layers, Loss loss, bool mean, int batch_size, Mode mode, int threads)
    : mode_(mode), loss_(loss), mean_(mean), batch_size_(batch_size), threads_(threads) {
  if (batch_size < 1 || threads < 1 || input.C < 1 || input.H < 1 || input.W < 1)
    throw std::invalid_argument("batch size, threads and input sizes must be positive");
  layer_shapes_.push_back(input);
  value_of_layer_.push_back(add_value(input));
  add_layers(layers);
  lay_out();
  arena_.allocate();
  lay_out();
}

template <class T>
int Plan<T>::add_value(Shape shape) {
  values_.push_back({shape, {}, {}, {}});
  return int(values_.size()) - 1;
}

template <class T>
int Plan<T>::add_parameter(std::vector<ptrdiff_t> shape) {
  parameter_shapes_.push_back(std::move(shape));
  return int(parameter_shapes_.size()) - 1;
}

template <class T>
void Plan<T>::add_layers(const std::vector<LayerSpec>& layers) {
  for (size_t l = 0; l < layers.size(); l++) {
    const LayerSpec& spec = layers[l];
    const int in = value_of_layer_.back();
    const Shape shape = layer_shapes_.back();
    // An activation right behind a convolution or a dense layer is computed in place with it,
    // except where every layer's own output is wanted.
    const bool fuse = mode_ != Mode::inspect && l + 1 < layers.size() && layers[l + 1].kind == LayerKind::activation;
    const bool behind_dense = std::any_of(ops_.begin(), ops_.end(), [](const Op& op) { return std::holds_alternative<DenseOp>(op.what); });
    if (spec.kind == LayerKind::conv && behind_dense) throw std::invalid_argument("a convolution cannot follow a dense layer");
    const Shape& stored = values_[in].shape;
    if ((spec.kind == LayerKind::conv || spec.kind == LayerKind::pool) && (stored.H != shape.H || stored.W != shape.W))
      throw std::invalid_argument("a convolution or a pool cannot follow a Flatten of maps");
    const auto activation_of = [](const LayerSpec& s) { return ActivationLayer<T>{s.activation, T(s.slope)}; };
    const ActivationLayer<T> fused = fuse ? activation_of(layers[l + 1]) : ActivationLayer<T>{};
    int out = in;
    Shape out_shape = shape;
    switch (spec.kind) {
      case LayerKind::conv: {
        const ConvLayer<T> layer(shape.C, shape.H, shape.W, spec.kernels, spec.window, spec.groups, spec.flip);
        const int weight = add_parameter({layer.K, layer.channels_each(), spec.window.size[0], spec.window.size[1]});
        const int bias = spec.bias ? add_parameter({layer.K}) : -1;
        out_shape = {layer.K, layer.Ho, layer.Wo};
        out = add_value(out_shape);
        values_[in].o_halo = input_halo(spec.window);
        ops_.push_back({ConvOp{layer, fused, weight, bias, T(spec.padding_value), {}, {}, {}}, in, out, int(l)});
        break;
      }
      case LayerKind::dense: {
        const int features = shape.C * shape.H * shape.W;
        const int weight = add_parameter({spec.kernels, features});
        const int bias = spec.bias ? add_parameter({spec.kernels}) : -1;
        out_shape = {spec.kernels, 1, 1};
        out = add_value(out_shape);
        ops_.push_back({DenseOp{{features, spec.kernels}, fused, weight, bias, {}, {}}, in, out, int(l)});
        break;
      }
      case LayerKind::pool: {
        const PoolLayer<T> layer(spec.pooling, shape.C, shape.H, shape.W, spec.window, spec.count_padding);
        out_shape = {shape.C, layer.Ho, layer.Wo};
        out = add_value(out_shape);
        ops_.push_back({PoolOp{layer, {}}, in, out, int(l)});
        break;
      }
      case LayerKind::activation:
        out = add_value(values_[in].shape);
        ops_.push_back({activation_of(spec), in, out, int(l)});
        break;
      case LayerKind::dropout:
        if (mode_ == Mode::predict) break;
        out = add_value(values_[in].shape);
        ops_.push_back({DropoutOp{{spec.rate}, int(l)}, in, out, int(l)});
        break;
      case LayerKind::flatten:
        out_shape = {shape.C * shape.H * shape.W, 1, 1};
        break;
    }
    layer_shapes_.push_back(out_shape);
    value_of_layer_.push_back(out);
    if (fuse && (spec.kind == LayerKind::conv || spec.kind == LayerKind::dense)) {
      layer_shapes_.push_back(out_shape);
      value_of_layer_.push_back(out);
      l++;
    }
  }
  head_ = int(ops_.size());
  first_trainable_ = int(ops_.size());
  for (int i = int(ops_.size()) - 1; i >= 0; i--) {
    const bool dense = std::holds_alternative<DenseOp>(ops_[i].what);
    if (dense) head_ = i;
    if (dense || std::holds_alternative<ConvOp>(ops_[i].what) || mode_ == Mode::inspect) first_trainable_ = i;
  }
}

template <class T>
Maps<T> Plan<T>::new_maps(Shape shape, const Halo& halo, int blocks) {
  const Layout<T> layout{shape, halo, blocks};
  return layout.in(arena_.take<T>(layout.size()));
}

// Gives everything its place in the arena. Runs twice: to find how much that is, and for good.
template <class T>
void Plan<T>::lay_out() {
  const int blocks = blocks_of(batch_size_), groups = std::min(blocks, MOST_GROUPS), units = std::min(groups, threads_);
  for (size_t v = 0; v < values_.size(); v++) {
    T fill = 0;
    for (const Op& op : ops_)
      if (const auto* conv = std::get_if<ConvOp>(&op.what); conv && op.in == int(v)) fill = conv->padding_value;
    const Layout<T> layout{values_[v].shape, values_[v].o_halo, blocks};
    T* memory = arena_.take<T>(layout.size());
    if (fill != T(0) && arena_.allocated()) std::fill_n(memory, layout.size(), fill);
    values_[v].o = layout.in(memory);
  }
  for (Op& op : ops_)
    if (auto* pool = std::get_if<PoolOp>(&op.what); pool && pool->layer.kind == Pooling::max) {
      const Layout<typename Lanes<T>::Int> layout{values_[op.out].shape, {}, blocks};
      pool->winner = layout.in(arena_.take<typename Lanes<T>::Int>(layout.size()));
    }
  barriers_.clear();
  for (int u = 0; u <= units; u++) barriers_.push_back(std::make_unique<Barrier>());
  image_weight_.resize(batch_size_), image_loss_.resize(batch_size_);
  image_factor_.resize(batch_size_), image_correct_.resize(batch_size_);
  if (mode_ == Mode::predict) return;

  const int last = int(values_.size()) - 1, boundary = head_ < int(ops_.size()) ? ops_[head_].in : last;
  const int first = first_trainable_ < int(ops_.size()) ? ops_[first_trainable_].in + (mode_ == Mode::inspect ? 0 : 1) : last;
  for (int v = first; v <= last; v++) {
    Value& value = values_[v];
    // The δ of a block is used up before the next block's is made, up to the first dense layer.
    const bool all_blocks = mode_ == Mode::inspect || v >= boundary;
    value.delta.clear();
    for (int u = 0; u < (all_blocks ? 1 : units); u++) {
      value.delta.push_back(new_maps(value.shape, {}, all_blocks ? blocks : 1));
      if (!all_blocks) value.delta.back().block = 0;
    }
  }
  gradients_.resize(parameter_shapes_.size());
  const auto size_of = [&](int parameter) {
    ptrdiff_t size = 1;
    for (ptrdiff_t s : parameter_shapes_[parameter]) size *= s;
    return size;
  };
  for (Op& op : ops_) {
    if (auto* conv = std::get_if<ConvOp>(&op.what)) {
      conv->delta.clear(), conv->group_dw.clear(), conv->group_db.clear();
      for (int u = 0; u < units; u++) {
        conv->delta.push_back(new_maps(values_[op.out].shape, delta_halo(conv->layer.window, conv->layer.W), 1));
        conv->delta.back().block = 0;
      }
      for (int g = 0; g < groups; g++) {
        conv->group_dw.push_back(arena_.take<T>(size_of(conv->weight)));
        if (conv->bias >= 0) conv->group_db.push_back(arena_.take<T>(size_of(conv->bias)));
      }
      gradients_[conv->weight] = conv->group_dw[0];
      if (conv->bias >= 0) gradients_[conv->bias] = conv->group_db[0];
    } else if (auto* dense = std::get_if<DenseOp>(&op.what)) {
      dense->o_rows.row = padded_to_lanes(dense->layer.F);
      dense->o_rows.data = arena_.take<T>(size_t(blocks) * LANES * dense->o_rows.row);
      dense->delta_rows.row = padded_to_lanes(dense->layer.K);
      dense->delta_rows.data = arena_.take<T>(size_t(blocks) * LANES * dense->delta_rows.row);
      gradients_[dense->weight] = arena_.take<T>(size_of(dense->weight));
      if (dense->bias >= 0) gradients_[dense->bias] = arena_.take<T>(size_of(dense->bias));
    }
  }
}

// ---- Profiling ----

template <class T>
void Plan<T>::start_profile() {
  const std::lock_guard<std::mutex> alone(running_);
  seconds_.assign(size_t(threads_) * (layers() + 1) * PASSES, 0.0);
}

template <class T>
double Plan<T>::seconds(int layer, Pass pass) const {
  double sum = 0;
  for (size_t at = size_t(layer + 1) * PASSES + size_t(pass); at < seconds_.size(); at += size_t(layers() + 1) * PASSES) sum += seconds_[at];
  return sum;
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

template <class T>
void Plan<T>::meet(const Place& at) {
  if (at.parts > 1) timed(at.thread, -1, Pass::wait, [&] { at.barrier->arrive_and_wait(); });
}

// ---- Running ----

template <class T>
StepResult<T> Plan<T>::train_step(const Images<T>& images, const Targets<T>& targets, const double* sample_weight,
                                  double learning_rate, uint64_t step, uint64_t seed) {
  return run(images, targets, sample_weight, step, seed, &learning_rate);
}

template <class T>
StepResult<T> Plan<T>::gradients(const Images<T>& images, const Targets<T>& targets, const double* sample_weight, uint64_t step,
                                 uint64_t seed) {
  return run(images, targets, sample_weight, step, seed, nullptr);
}

template <class T>
typename Plan<T>::Place Plan<T>::place_of(int thread, int units, int parts) {
  Place at;
  at.thread = thread, at.unit = thread / parts, at.part = thread % parts, at.parts = parts;
  at.groups = share(groups_, at.unit, units);
  at.blocks = {group_blocks(at.groups.begin).begin, group_blocks(at.groups.end - 1).end};
  at.barrier = barriers_[at.unit].get();
  return at;
}

// body(place) on every thread that has a place; then, all having ended it, finish(thread) on all.
template <class T>
template <class Body>
void Plan<T>::on_all_threads(const Body& body) {
  blocks_ = blocks_of(images_.count);
  groups_ = std::min(blocks_, MOST_GROUPS);
  const int units = std::min(groups_, threads_), parts = threads_ / units;
  for (int u = 0; u < units; u++) barriers_[u]->reset(parts);
  Barrier& all = *barriers_.back();
  all.reset(threads_);
  const auto work = [&](int thread) {
    if (thread < units * parts) body(place_of(thread, units, parts));
    if (mode_ == Mode::predict) return;
    timed(thread, -1, Pass::wait, [&] { all.arrive_and_wait(); });
    finish(thread);
  };
  SharedPool::instance().run(threads_, work);
}

template <class T>
StepResult<T> Plan<T>::run(const Images<T>& images, const Targets<T>& targets, const double* sample_weight, uint64_t step,
                           uint64_t seed, const double* learning_rate) {
  const std::lock_guard<std::mutex> alone(running_);
  images_ = images, targets_ = targets, step_ = step, seed_ = seed, learning_rate_ = learning_rate;
  weigh_images(sample_weight);
  on_all_threads([&](const Place& at) {
    forward_pass(at);
    backward_pass(at);
  });
  return total_loss();
}

template <class T>
void Plan<T>::predict(const Images<T>& images, T* out) {
  const std::lock_guard<std::mutex> alone(running_);
  images_ = images, step_ = 0, learning_rate_ = nullptr;
  on_all_threads([&](const Place& at) {
    forward_pass(at);
    if (at.part == 0)
      for (int b = at.blocks.begin; b < at.blocks.end; b++) from_lanes(values_.back().o, b, images_.count, out);
  });
}

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
void Plan<T>::forward_pass(const Place& at) {
  for (int b = at.blocks.begin; b < at.blocks.end; b++) {
    if (at.part == 0)
      timed(at.thread, -1, Pass::images, [&] {
        if (images_.bytes)
          to_lanes(Batch<T, uint8_t>{images_.bytes, images_.index, images_.count, images_.offset, images_.scale}, values_[0].o, b);
        else
          to_lanes(Batch<T, T>{images_.values, images_.index, images_.count, images_.offset, images_.scale}, values_[0].o, b);
      });
    meet(at);
    for (int i = 0; i < head_; i++) forward(ops_[i], {b, b + 1}, at);
  }
  for (size_t i = head_; i < ops_.size(); i++) forward(ops_[i], at.blocks, at);
}

template <class T>
void Plan<T>::forward(Op& op, Range blocks, const Place& at) {
  const Maps<T>&in = values_[op.in].o, &out = values_[op.out].o;
  const auto parameter = [&](int p) { return p < 0 ? nullptr : parameters_[p]; };
  timed(at.thread, op.layer, Pass::forward, [&] { std::visit(Overloaded{
                 [&](ConvOp& conv) {
                   for (int b = blocks.begin; b < blocks.end; b++)
                     conv.layer.forward(in, parameter(conv.weight), parameter(conv.bias), out, b, at.share_of(out.C), conv.activation);
                 },
                 [&](DenseOp& dense) {
                   dense.layer.forward(in, parameter(dense.weight), parameter(dense.bias), out, blocks, at.share_of(out.C),
                                       dense.activation);
                 },
                 [&](PoolOp& pool) {
                   for (int b = blocks.begin; b < blocks.end; b++) pool.layer.forward(in, out, pool.winner, b, at.share_of(out.C));
                 },
                 [&](ActivationLayer<T>& activation) {
                   for (int b = blocks.begin; b < blocks.end; b++) activation.forward(in, out, b, at.share_of(out.C));
                 },
                 [&](DropoutOp& dropout) {
                   for (int b = blocks.begin; b < blocks.end; b++)
                     dropout_now(dropout).forward(in, out, b, at.share_of(out.C), seed_, step_, dropout.index);
                 },
             },
             op.what); });
  meet(at);
}

template <class T>
void Plan<T>::backward_pass(const Place& at) {
  const Value& y = values_.back();
  if (at.part == 0)
    timed(at.thread, -1, Pass::loss, [&] {
      const LossLayer<T> loss{loss_, int(y.o.features())};
      for (int b = at.blocks.begin; b < at.blocks.end; b++)
        loss.forward(y.o, targets_, b, images_.count, image_factor_.data(), y.delta[0], image_loss_.data(), image_correct_.data());
    });
  meet(at);
  for (int i = int(ops_.size()) - 1; i >= std::max(head_, first_trainable_); i--) backward(ops_[i], at.blocks, 0, true, at);
  for (int g = at.groups.begin; g < at.groups.end; g++)
    for (int b = group_blocks(g).begin; b < group_blocks(g).end; b++)
      for (int i = head_ - 1; i >= first_trainable_; i--) backward(ops_[i], {b, b + 1}, g, b == group_blocks(g).begin, at);
}

template <class T>
void Plan<T>::backward(Op& op, Range blocks, int group, bool first_of_group, const Place& at) {
  const auto delta_of = [&](const Value& value) -> Maps<T> {
    return value.delta.empty() ? Maps<T>{} : value.delta[value.delta.size() > 1 ? at.unit : 0];
  };
  const Maps<T>&in = values_[op.in].o, &out = values_[op.out].o;
  const Maps<T> delta = delta_of(values_[op.out]), delta_in = delta_of(values_[op.in]);
  const bool wants_input_delta = delta_in.data != nullptr;
  std::visit(
      Overloaded{
          [&](ConvOp& conv) {
            const Range kernels = at.share_of(out.C);
            const Maps<T>& x_delta = conv.delta[at.unit];
            for (int b = blocks.begin; b < blocks.end; b++) {
              timed(at.thread, op.layer, Pass::weight_gradient, [&] {
                T* dw = conv.group_dw[group];
                T* db = conv.bias >= 0 ? conv.group_db[group] : nullptr;
                if (first_of_group) {
                  const ptrdiff_t each = conv.layer.weights() / conv.layer.K;
                  std::fill(dw + kernels.begin * each, dw + kernels.end * each, T(0));
                  if (db) std::fill(db + kernels.begin, db + kernels.end, T(0));
                }
                conv.activation.input_delta(delta, out, x_delta, b, kernels);
                conv.layer.weight_gradient(in, x_delta, dw, b, kernels);
                if (db) conv.layer.bias_gradient(x_delta, db, b, kernels);
              });
              meet(at);
              if (wants_input_delta)
                timed(at.thread, op.layer, Pass::input_delta,
                      [&] { conv.layer.input_delta(x_delta, parameters_[conv.weight], delta_in, b, at.share_of(in.C)); });
              meet(at);
            }
          },
          [&](DenseOp& dense) {
            const Range kernels = at.share_of(dense.layer.K), features = at.share_of(dense.layer.F);
            timed(at.thread, op.layer, Pass::weight_gradient, [&] {
              for (int b = blocks.begin; b < blocks.end; b++) {
                dense.activation.input_delta(delta, out, delta, b, kernels);
                DenseLayer<T>::rows_of(delta, b, dense.delta_rows, kernels);
                DenseLayer<T>::rows_of(in, b, dense.o_rows, features);
              }
            });
            if (!wants_input_delta) return;
            meet(at);
            timed(at.thread, op.layer, Pass::input_delta,
                  [&] { dense.layer.input_delta(delta, parameters_[dense.weight], delta_in, blocks, features); });
          },
          [&](PoolOp& pool) {
            timed(at.thread, op.layer, Pass::input_delta, [&] {
              for (int b = blocks.begin; b < blocks.end; b++)
                pool.layer.input_delta(delta, in, out, pool.winner, delta_in, b, at.share_of(in.C));
            });
          },
          [&](ActivationLayer<T>& activation) {
            timed(at.thread, op.layer, Pass::input_delta, [&] {
              for (int b = blocks.begin; b < blocks.end; b++) activation.input_delta(delta, out, delta_in, b, at.share_of(in.C));
            });
          },
          [&](DropoutOp& dropout) {
            timed(at.thread, op.layer, Pass::input_delta, [&] {
              for (int b = blocks.begin; b < blocks.end; b++)
                dropout_now(dropout).forward(delta, delta_in, b, at.share_of(in.C), seed_, step_, dropout.index);
            });
          },
      },
      op.what);
  meet(at);
}

// Adds up the groups' gradients, by a tree whose shape the number of groups alone decides,
// makes those of the dense layers, and updates: every thread its own share of the elements.
template <class T>
void Plan<T>::finish(int thread) {
  const bool updates = learning_rate_ && std::isfinite(total_loss().loss);
  for (Op& op : ops_) {
    const auto update_here = [&](int parameter, ptrdiff_t begin, ptrdiff_t end) {
      if (updates) timed(thread, op.layer, Pass::update, [&] { update_range(parameter, *learning_rate_, begin, end); });
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
      add_groups(conv->group_dw, conv->weight, int(conv->layer.weights()));
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
}

template <class T>
void Plan<T>::update_range(int parameter, double learning_rate, ptrdiff_t begin, ptrdiff_t end) {
  const int slots = optimizer_.slots();
  T* const* state = state_.data() + ptrdiff_t(parameter) * slots;
  update(optimizer_, learning_rate, step_, parameters_[parameter], gradients_[parameter], state[0], slots > 1 ? state[1] : nullptr,
         begin, end);
}

template <class T>
void Plan<T>::copy_out(const Maps<T>& maps, T* out) const {
  for (int b = 0; b < blocks_; b++) from_lanes(maps, b, images_.count, out);
}

template class Plan<float>;
template class Plan<double>;

}  // namespace convprop
