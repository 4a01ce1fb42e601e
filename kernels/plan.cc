#include "plan.h"

#include <numeric>

namespace convprop {

namespace {

// What the maps may take that a unit carries at once, to be near still on the way back.
constexpr size_t CACHE_BYTES = size_t(2) << 20;

// Up to so many images go one by one (FEW_IMAGES of network.py): on one thread a block of sixteen
// costs as much as about seven of them, and more threads share images better than maps.
constexpr int FEW_IMAGES = 8;

// So many multiply-adds take about as long as it takes to wake a thread and to meet it behind every
// layer. Awake already, it would be worth waiting for from a tenth of them on.
constexpr double SOON_DONE = 5e6;

}  // namespace

template <class T>
Plan<T>::Plan(Shape input, const std::vector<LayerSpec>& layers, LossSpec loss, bool mean, int batch_size, Mode mode, int threads,
              bool measured_alone)
    : mode_(mode), loss_(loss), mean_(mean), batch_size_(batch_size), threads_(threads) {
  if (batch_size < 1 || threads < 1 || input.C < 1 || input.H < 1 || input.W < 1)
    throw std::invalid_argument("batch size, threads and input sizes must be positive");
  check_size("the input", {input.C, input.H, input.W});
  by_image_ = few_images(layers);
  layer_shapes_.push_back(input);
  value_of_layer_.push_back(add_value(input));
  add_layers(layers);
  one_is_soon_done_ = by_image_ && multiply_adds() < SOON_DONE;
  lay_out();
  if (measured_alone) return;
  arena_.allocate();
  lay_out();
}

// Of one image, forward.
template <class T>
double Plan<T>::multiply_adds() const {
  double sum = 0;
  for (const Op& op : ops_)
    if (const ConvOp* conv = as<ConvOp>(op)) sum += double(conv->layer.weights()) * conv->layer.Ho * conv->layer.Wo;
    else if (const DenseOp* dense = as<DenseOp>(op)) sum += double(dense->layer.weights());
  return sum;
}

template <class T>
int Plan<T>::add_value(Shape shape) {
  values_.push_back({});
  values_.back().shape = shape;
  return int(values_.size()) - 1;
}

// Whether the layers before the first dense one are such as ImageConv computes.
template <class T>
bool Plan<T>::few_images(const std::vector<LayerSpec>& layers) const {
  if (batch_size_ > FEW_IMAGES || mode_ == Mode::inspect) return false;
  bool conv = false;
  for (const LayerSpec& layer : layers) {
    if (layer.kind == LayerKind::dense) break;
    if (layer.winograd && mode_ == Mode::train) return false;
    if (layer.kind != LayerKind::conv) continue;
    if (layer.groups != 1 || layer.window.stride[0] != 1 || layer.window.stride[1] != 1) return false;
    conv = true;
  }
  return conv;
}

template <class T>
int Plan<T>::add_parameter(std::vector<ptrdiff_t> shape) {
  const ptrdiff_t size = std::accumulate(shape.begin(), shape.end(), ptrdiff_t(1), std::multiplies<>());
  const int parameter = int(parameter_shapes_.size());
  parameter_shapes_.push_back(std::move(shape));
  for (ptrdiff_t begin = 0; begin < size; begin += RUN) runs_.push_back({parameter, begin, std::min(begin + RUN, size)});
  square_sums_.resize(runs_.size());
  return parameter;
}

template <class T>
void Plan<T>::add_layers(const std::vector<LayerSpec>& layers) {
  bool gathered = !by_image_;
  const auto gather = [&] {
    if (gathered) return;
    const int from = value_of_layer_.back();
    value_of_layer_.back() = add_value(values_[from].shape);
    ops_.push_back({GatherOp{}, from, value_of_layer_.back(), -1});
    gathered = true;
  };
  for (size_t l = 0; l < layers.size(); l++) {
    const LayerSpec& spec = layers[l];
    if (spec.kind == LayerKind::dense) gather();
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
    // A convolution right before this layer can be given its delta, behind its own activation.
    const bool gives = mode_ == Mode::train && !by_image_ && !ops_.empty() && as<ConvOp>(ops_.back()) && ops_.back().out == in;
    const int conv_before = gives ? int(ops_.size()) - 1 : -1;
    int out = in;
    Shape out_shape = shape;
    switch (spec.kind) {
      case LayerKind::conv: {
        const ConvLayer<T> layer(shape.C, shape.H, shape.W, spec.kernels, spec.window, spec.groups, spec.flip);
        if (spec.winograd && !Winograd<T>::supports(layer))
          throw std::invalid_argument("Winograd's algorithm is for windows of 3 by 3 without stride, dilation and groups");
        const int weight = add_parameter({layer.K, layer.channels_each(), spec.window.size[0], spec.window.size[1]});
        const int bias = spec.bias ? add_parameter({layer.K}) : -1;
        out_shape = {layer.K, layer.Ho, layer.Wo};
        out = add_value(out_shape);
        values_[in].o_halo = input_halo(spec.window);
        values_[in].padding_value = T(spec.padding_value);
        ops_.push_back({ConvOp{layer, fused, weight, bias, {}, {}, {}, spec.winograd, nullptr, nullptr, false, conv_before}, in, out, int(l)});
        if (conv_before >= 0) std::get<ConvOp>(ops_[conv_before].what).delta_is_made = true;
        break;
      }
      case LayerKind::dense: {
        const int features = shape.C * shape.H * shape.W;
        check_size("a dense layer's weights", {spec.kernels, features});
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
        ops_.push_back({PoolOp{layer, {}, layer.apart() ? conv_before : -1}, in, out, int(l)});
        if (conv_before >= 0) std::get<ConvOp>(ops_[conv_before].what).delta_is_made = layer.apart();
        break;
      }
      case LayerKind::activation:
        out = add_value(values_[in].shape);
        ops_.push_back({activation_of(spec), in, out, int(l)});
        break;
      case LayerKind::dropout:
        if (mode_ == Mode::predict) break;
        out = add_value(values_[in].shape);
        ops_.push_back({DropoutOp{{spec.rate}}, in, out, int(l)});
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
  gather();
  head_ = int(ops_.size());
  first_trainable_ = int(ops_.size());
  for (int i = int(ops_.size()) - 1; i >= 0; i--) {
    const bool dense = as<DenseOp>(ops_[i]);
    if (dense || as<GatherOp>(ops_[i])) head_ = i;
    if (dense || as<ConvOp>(ops_[i]) || mode_ == Mode::inspect) first_trainable_ = i;
  }
  for (int i = 0; i < head_ && by_image_; i++) values_[ops_[i].in].by_image = values_[ops_[i].out].by_image = true;
}

// As many as the cache holds, but all of them where there is nothing to do block by block.
template <class T>
int Plan<T>::blocks_at_once(int blocks_each) const {
  size_t bytes = 0;
  for (int i = 0; i < head_; i++) bytes += Layout<T>{values_[ops_[i].in].shape, values_[ops_[i].in].o_halo, 1}.size() * sizeof(T);
  return bytes ? int(std::clamp(CACHE_BYTES / bytes, size_t(1), size_t(blocks_each))) : blocks_each;
}

// Gives everything its place in the arena. Runs twice: to find how much that is, and for good.
template <class T>
void Plan<T>::lay_out() {
  using Int = typename Lanes<T>::Int;
  const int blocks = blocks_of(batch_size_), groups = std::min(blocks, MOST_GROUPS), units = std::min(groups, threads_);
  const bool keeps_all = mode_ == Mode::inspect;
  const int copies = keeps_all ? 1 : units;
  at_once_ = keeps_all ? blocks : blocks_at_once((groups + units - 1) / units * ((blocks + groups - 1) / groups));
  for (Value& value : values_) {
    value.o.clear(), value.delta.clear();
    const Layout<T> layout{value.shape, value.o_halo, value.by_image ? batch_size_ : at_once_, value.by_image ? 1 : LANES};
    for (int u = 0; u < copies; u++) {
      T* memory = arena_.take<T>(layout.size());
      if (value.padding_value != T(0) && arena_.allocated()) std::fill_n(memory, layout.size(), value.padding_value);
      value.o.push_back(layout.in(memory));
    }
  }
  for (Op& op : ops_)
    if (auto* pool = std::get_if<PoolOp>(&op.what); pool && pool->layer.kind == Pooling::max) {
      const bool by_image = values_[op.out].by_image;
      const Layout<Int> layout{values_[op.out].shape, {}, by_image ? batch_size_ : at_once_, by_image ? 1 : LANES};
      pool->winner.clear();
      for (int u = 0; u < copies; u++) pool->winner.push_back(layout.in(arena_.take<Int>(layout.size())));
    }
  ptrdiff_t room = 0;
  for (Op& op : ops_)
    if (auto* conv = std::get_if<ConvOp>(&op.what); conv && conv->winograd) {
      const Winograd<T> layer{conv->layer};
      conv->transformed = arena_.take<T>(layer.transformed_size());
      room = std::max(room, layer.room());
    }
  room_.clear();
  for (int t = 0; t < threads_ && room; t++) room_.push_back(arena_.take<T>(room));
  barriers_.clear();
  for (int u = 0; u <= units; u++) barriers_.push_back(std::make_unique<Barrier>());
  image_weight_ = arena_.take<double>(batch_size_), image_loss_ = arena_.take<double>(batch_size_);
  image_factor_ = arena_.take<T>(batch_size_), image_correct_ = arena_.take<int>(batch_size_);
  if (mode_ == Mode::predict) return;

  const int last = int(values_.size()) - 1, boundary = head_ < int(ops_.size()) ? ops_[head_].in : last;
  const int first = first_trainable_ < int(ops_.size()) ? ops_[first_trainable_].in + (keeps_all ? 0 : 1) : last;
  std::vector<bool> skipped(values_.size());
  for (const Op& op : ops_)
    if (const ConvOp* conv = as<ConvOp>(op)) skipped[op.out] = conv->delta_is_made;
  for (int v = first; v <= last; v++)
    for (int u = 0; u < copies && !skipped[v]; u++) {
      // Before the first dense layer, the delta of a block is used up before the next one's is made.
      const bool one = !keeps_all && v < boundary && !values_[v].by_image;
      const Layout<T> layout{values_[v].shape, {}, one ? 1 : values_[v].by_image ? batch_size_ : at_once_, values_[v].by_image ? 1 : LANES};
      values_[v].delta.push_back(layout.in(arena_.take<T>(layout.size())));
      if (one) values_[v].delta.back().block = 0;
    }
  gradients_.resize(parameter_shapes_.size());
  by_kernel_.clear();
  ptrdiff_t by_kernel = 0;
  for (Op& op : ops_) {
    if (auto* conv = std::get_if<ConvOp>(&op.what)) {
      lay_out_conv(*conv, values_[op.out].shape, groups, units);
      if (by_image_) by_kernel = std::max(by_kernel, ImageConv<T>{conv->layer}.by_kernel_size());
    } else if (auto* dense = std::get_if<DenseOp>(&op.what)) {
      dense->o_rows.row = padded_to_lanes(dense->layer.F);
      dense->o_rows.data = arena_.take<T>(room_for(ptrdiff_t(blocks) * LANES, dense->o_rows.row));
      dense->delta_rows.row = padded_to_lanes(dense->layer.K);
      dense->delta_rows.data = arena_.take<T>(room_for(ptrdiff_t(blocks) * LANES, dense->delta_rows.row));
      gradients_[dense->weight] = arena_.take<T>(dense->layer.weights());
      if (dense->bias >= 0) gradients_[dense->bias] = arena_.take<T>(dense->layer.K);
    }
  }
  for (int t = 0; t < threads_ && by_kernel; t++) by_kernel_.push_back(arena_.take<T>(by_kernel));
}

template <class T>
void Plan<T>::lay_out_conv(ConvOp& conv, const Shape& out, int groups, int units) {
  conv.delta.clear(), conv.group_dw.clear(), conv.group_db.clear();
  const Window& window = conv.layer.window;
  for (int u = 0; u < (by_image_ ? threads_ : units); u++) {
    const Layout<T> layout = by_image_ ? Layout<T>{out, whole_delta_halo(window, conv.layer.H, conv.layer.W), 1, 1}
                                       : Layout<T>{out, delta_halo(window, conv.layer.W), 1};
    conv.delta.push_back(layout.in(arena_.take<T>(layout.size())));
    conv.delta.back().block = 0;
  }
  for (int g = 0; g < groups; g++) {
    conv.group_dw.push_back(arena_.take<T>(conv.winograd ? Winograd<T>{conv.layer}.gradient_size() : conv.layer.weights()));
    if (conv.bias >= 0) conv.group_db.push_back(arena_.take<T>(conv.layer.K));
  }
  if (by_image_) conv.image_gradients = arena_.take<T>(room_for(batch_size_, ImageConv<T>{conv.layer}.gradient_size()));
  gradients_[conv.weight] = conv.winograd ? arena_.take<T>(conv.layer.weights()) : conv.group_dw[0];
  if (conv.bias >= 0) gradients_[conv.bias] = conv.group_db[0];
}

template class Plan<float>;
template class Plan<double>;

}  // namespace convprop
