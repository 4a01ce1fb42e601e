// How a plan is made: its operations, the values between them, and their places in memory.
#include "plan/plan.h"

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

// Which layers' outputs each one reads: 0 is the image, and none comes later.
std::vector<std::vector<int>> checked_reads(const std::vector<Description>& layers) {
  std::vector<std::vector<int>> reads;
  for (const Description& layer : layers) {
    reads.push_back(layer.integers("reads"));
    for (int value : reads.back())
      if (value < 0 || value >= int(reads.size())) layer.refuse("it can read what comes before it alone");
  }
  return reads;
}

Halo larger(const Halo& a, const Halo& b) {
  Halo halo;
  for (int axis = 0; axis < 2; axis++)
    halo.before[axis] = std::max(a.before[axis], b.before[axis]), halo.after[axis] = std::max(a.after[axis], b.after[axis]);
  return halo;
}

}  // namespace

template <class T>
Plan<T>::Plan(Shape input, const std::vector<std::string>& layers, LossSpec loss, bool mean, int batch_size, Mode mode, int threads,
              bool measured_alone, int part_size)
    : mode_(mode), loss_(loss), mean_(mean), batch_size_(batch_size), part_size_(part_size ? std::min(part_size, batch_size) : batch_size),
      threads_(threads) {
  if (batch_size < 1 || threads < 1 || input.C < 1 || input.H < 1 || input.W < 1)
    throw std::invalid_argument("batch size, threads and input sizes must be positive");
  if (part_size < 0 || part_size % LANES || (part_size && mode != Mode::train))
    throw std::invalid_argument("a training's batch can come in parts of a multiple of sixteen images");
  check_size("the input", {input.C, input.H, input.W});
  const std::vector<Description> descriptions(layers.begin(), layers.end());
  const auto reads = checked_reads(descriptions);
  by_image_ = few_images(descriptions, reads);
  layers_.push_back({input, 0});
  values_.push_back({input});
  add_operations(descriptions, reads);
  find_segments();
  if (segments_.size() > 1 && part_size_ < batch_size_)
    throw std::invalid_argument("the statistics of a whole batch are not to be had of its parts");
  find_head();
  find_deltas();
  find_readings();
  find_kept();
  write_through();
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
  for (const Operation& operation : operations_)
    std::visit([&](const auto& op) {
      if constexpr (requires { op.multiply_adds(); }) sum += op.multiply_adds();
    }, operation.op);
  return sum;
}

// Whether the layers before the first dense one can go image by image, and gain by it: they must end
// in one value, and where deltas come back each value must have one reader, since whole vectors are
// written past the ends of rows.
template <class T>
bool Plan<T>::few_images(const std::vector<Description>& layers, const std::vector<std::vector<int>>& reads) const {
  if (batch_size_ > FEW_IMAGES || mode_ == Mode::inspect) return false;
  bool gains = false;
  int border = -1;  // the first layer behind the head
  std::vector<int> readers(layers.size() + 1);
  for (int l = 0; l < int(layers.size()); l++) {
    const auto traits = traits_of<T>(layers[l], {mode_, border < 0});
    if (!traits) return false;
    if (border < 0 && traits->together) border = l;
    if (border < 0) gains |= traits->gains_by_image;
    else if (traits->by_block) return false;
    for (int value : reads[l])
      if ((border >= 0 && value < border) || (readers[value]++ && mode_ == Mode::train)) return false;
  }
  return gains;
}

template <class T>
void Plan<T>::add_operations(const std::vector<Description>& layers, const std::vector<std::vector<int>>& reads) {
  std::vector<int> readers(layers.size() + 1);
  std::vector<bool> shaped(layers.size() + 1);  // read by one that goes by its shape
  bool together = !by_image_;
  const Way way{mode_, by_image_};
  for (size_t l = 0; l < layers.size(); l++) {
    const auto traits = traits_of<T>(layers[l], way);
    for (int value : reads[l]) readers[value]++, shaped[value] = shaped[value] || (traits && traits->by_shape);
  }
  for (int l = 0; l < int(layers.size()); l++) {
    const auto traits = traits_of<T>(layers[l], way);
    if (traits && traits->together && !together) gather_images(), together = true;
    std::vector<Shape> shapes;
    std::vector<int> values;
    for (int value : reads[l]) shapes.push_back(layers_[value].shape), values.push_back(layers_[value].value);
    const Layer from = layers_[reads[l][0]];
    const Shape stored = values_[from.value].shape;
    const int others = readers[reads[l][0]] - 1;
    Operation operation{make_op<T>(layers[l], shapes, way), l, values};
    std::visit([&](auto& op) {
      using One = std::decay_t<decltype(op)>;
      Layer gives = from;
      bool computes = true;
      if constexpr (requires { op.parameters(); }) operation.trained = layers[l].trained(int(op.parameters().size()));
      if constexpr (!requires { One::POINTWISE; }) {
        gives.shape = op.shape;
        const bool any_order = requires { One::TOGETHER; } || requires { op.passes_on(true); };
        // What has handed on the maps that a Flatten reads gives them in one row.
        for (size_t r = 0; r < values.size() && !any_order; r++)
          if (!(values_[values[r]].shape == shapes[r])) operation.reads[r] = flattened(values[r], l);
      }
      if constexpr (requires { One::TOGETHER; })
        if (others) operation.reads[0] = flattened(from.value, l);
      if constexpr (requires { op.halo(); }) operation.reads[0] = with_halo(operation.reads[0], l, op.halo(), op.padding_value);
      if constexpr (requires { op.passes_on(true); }) computes = !op.passes_on(!others && !shaped[l + 1]);
      if constexpr (std::is_same_v<One, ActivationOp<T>>) computes = others || !fuse(op, reads[l][0]);
      if (computes) {
        gives.value = operation.gives = int(values_.size());
        values_.push_back({requires { One::POINTWISE; } ? stored : gives.shape});
      }
      layers_.push_back(gives);
    }, operation.op);
    if (operation.gives < 0) continue;
    const int given = operation.gives;
    add_operation(std::move(operation));
    std::visit([&](const auto& op) {
      if constexpr (requires { op.follower(); }) {
        layers_.back().value = int(values_.size());
        values_.push_back({values_[given].shape});
        Operation rest{op.follower(), l, {given}, layers_.back().value};
        rest.trained = layers[l].trained(int(op.follower().parameters().size()));
        add_operation(std::move(rest));
      }
    }, Op<T>(operations_.back().op));
  }
  if (!together) gather_images();
}

// A value's numbers in one row, which a dense layer reads: where others may want a halo round its maps.
template <class T>
int Plan<T>::flattened(int value, int layer) {
  const Shape stored = values_[value].shape;
  if (stored.H * stored.W == 1) return value;
  const FlattenOp<T> flatten(stored);
  values_.push_back({flatten.shape});
  add_operation({flatten, layer, {value}, int(values_.size()) - 1});
  return int(values_.size()) - 1;
}

// A value with a halo of its own kind: itself, unless another reader wants other numbers there.
template <class T>
int Plan<T>::with_halo(int value, int layer, const Halo& halo, T padding_value) {
  if (halo.any() && values_[value].halo.any() && values_[value].padding_value != padding_value) {
    const Shape stored = values_[value].shape;
    values_.push_back({stored});
    add_operation({ActivationOp<T>(), layer, {value}, int(values_.size()) - 1});
    value = int(values_.size()) - 1;
  }
  if (halo.any()) values_[value].padding_value = padding_value;
  values_[value].halo = larger(values_[value].halo, halo);
  return value;
}

template <class T>
void Plan<T>::add_operation(Operation operation) {
  for (int value : operation.reads) operation.segment = std::max(operation.segment, segment_of_[value]);
  int memory = operation.gives;
  std::visit([&](const auto& op) {
    using One = std::decay_t<decltype(op)>;
    if constexpr (requires { One::AFTER_ALL; }) operation.segment++;
    if constexpr (requires { op.follower(); }) memory = memory_of_[operation.reads[0]];
    if constexpr (requires { op.parameters(); }) {
      operation.first_parameter = int(parameter_shapes_.size());
      const auto shapes = op.parameters();
      for (size_t p = 0; p < shapes.size(); p++) {
        const int parameter = int(parameter_shapes_.size());
        parameter_shapes_.push_back(shapes[p]);
        if (!operation.trained[p]) continue;
        trained_.push_back(parameter);
        const ptrdiff_t size = std::accumulate(shapes[p].begin(), shapes[p].end(), ptrdiff_t(1), std::multiplies<>());
        for (ptrdiff_t begin = 0; begin < size; begin += PIECE) pieces_.push_back({parameter, operation.layer, begin, std::min(begin + PIECE, size)});
      }
      square_sums_.resize(pieces_.size()), squares_.resize(pieces_.size());
    }
  }, operation.op);
  segment_of_.push_back(operation.segment), memory_of_.push_back(memory);
  operations_.push_back(std::move(operation));
}

// The value of the last layer, from here on block by block.
template <class T>
void Plan<T>::gather_images() {
  Layer& last = layers_.back();
  const Shape stored = values_[last.value].shape;
  Operation operation{GatherImagesOp<T>{}, -1, {last.value}};
  last.value = operation.gives = int(values_.size());
  values_.push_back({stored});
  add_operation(std::move(operation));
}

// Operations run segment by segment, and else in the order of their layers.
template <class T>
void Plan<T>::find_segments() {
  std::stable_sort(operations_.begin(), operations_.end(), [](const Operation& a, const Operation& b) { return a.segment < b.segment; });
  for (int i = 0; i < int(operations_.size()); i++) {
    segments_.resize(size_t(operations_[i].segment) + 1, {i, i});
    segments_.back().end = i + 1;
  }
}

// The tail begins with the first operation of the last segment that goes over all blocks of a unit at
// once, if none that takes one block at a time comes behind it.
template <class T>
void Plan<T>::find_head() {
  head_ = int(operations_.size());
  for (int i = head_ - 1; i >= segments_.back().begin; i--) {
    const bool by_block = std::visit([](const auto& op) { return requires { op.BY_BLOCK; }; }, operations_[i].op);
    const bool together = std::visit([](const auto& op) { return requires { op.TOGETHER; }; }, operations_[i].op);
    if (by_block) break;
    if (together) head_ = i;
  }
  for (int i = 0; i < head_ && by_image_; i++) {
    for (int value : operations_[i].reads) values_[value].by_image = true;
    values_[operations_[i].gives].by_image = true;
  }
}

// Which operations go back: those that train, and those behind them.
template <class T>
void Plan<T>::find_deltas() {
  std::vector<bool> wanted(values_.size());
  wanted[0] = mode_ == Mode::inspect;
  for (Operation& operation : operations_) {
    operation.backward = mode_ != Mode::predict && operation.trains();
    for (int value : operation.reads) operation.backward |= wanted[value];
    wanted[operation.gives] = operation.backward;
  }
  // The loss writes its own, whoever asks for it.
  wanted[layers_.back().value] = mode_ != Mode::predict;
  for (size_t v = 0; v < values_.size(); v++) values_[v].has_delta = wanted[v];
}

// In which order those that read a value write its delta: backwards, as they run.
template <class T>
void Plan<T>::find_readings() {
  std::vector<Reading<T>*> before(values_.size());
  for (Operation& operation : operations_)
    for (int value : operation.reads) operation.readings.push_back({&values_[value]});
  for (Operation& operation : operations_)
    for (size_t r = 0; r < operation.reads.size(); r++) {
      Reading<T>*& first = before[operation.reads[r]];
      operation.readings[r].last = !first;
      if (first) first->added = true;
      first = &operation.readings[r];
    }
}

// What the whole batch is kept of: values and deltas that cross a border, and sums of products. What
// else a segment before the last makes is made again on the way back.
template <class T>
void Plan<T>::find_kept() {
  const int last = int(segments_.size()) - 1;
  std::vector<bool> kept(values_.size(), mode_ == Mode::inspect);
  for (const Operation& operation : operations_) {
    for (int value : operation.reads)
      if (operation.segment > segment_of_[memory_of_[value]]) kept[memory_of_[value]] = true;
    std::visit([&](const auto& op) {
      if constexpr (requires { op.multiply_adds(); })
        if (operation.segment < last) kept[operation.gives] = true;
    }, operation.op);
  }
  for (size_t v = 0; v < values_.size(); v++) values_[v].whole_batch = kept[memory_of_[v]];
  for (Operation& operation : operations_) {
    operation.again = operation.segment < last && memory_of_[operation.gives] == operation.gives && !kept[operation.gives];
    for (int value : operation.reads)
      if (mode_ == Mode::inspect || operation.segment > segment_of_[value]) values_[value].whole_delta = true;
  }
  values_.back().whole_delta = mode_ == Mode::inspect;
}

// Deltas of the whole batch that are wanted at different times lie in the same memory: its number for
// each value, or -1.
template <class T>
std::vector<int> Plan<T>::shared_deltas() const {
  std::vector<int> number(values_.size(), -1), from(values_.size());
  for (const Operation& operation : operations_)
    for (int value : operation.reads) from[value] = std::max(from[value], operation.segment);
  std::vector<int> order;
  for (int v = 0; v < int(values_.size()); v++)
    if (values_[v].has_delta && values_[v].whole_delta) order.push_back(v);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return from[a] > from[b]; });
  std::vector<int> wanted_until;
  for (int v : order) {
    const auto free = std::find_if(wanted_until.begin(), wanted_until.end(), [&](int until) { return mode_ == Mode::train && until > from[v]; });
    number[v] = int(free - wanted_until.begin());
    if (free == wanted_until.end()) wanted_until.push_back(0);
    wanted_until[number[v]] = segment_of_[v];
  }
  return number;
}

// As many as the cache holds, but all of them where there is nothing to do block by block.
template <class T>
int Plan<T>::blocks_at_once(int blocks_each) const {
  std::vector<bool> read(values_.size());
  for (int i = segments_.back().begin; i < head_; i++)
    for (int value : operations_[i].reads) read[value] = true;
  size_t bytes = 0;
  for (size_t v = 0; v < values_.size(); v++)
    if (read[v]) bytes += Layout<T>{values_[v].shape, values_[v].halo, 1}.size() * sizeof(T);
  return bytes ? int(std::clamp(CACHE_BYTES / bytes, size_t(1), size_t(blocks_each))) : blocks_each;
}

// Gives everything its place in the arena. Runs twice: to find how much that is, and for good.
template <class T>
void Plan<T>::lay_out() {
  const int blocks = blocks_of(batch_size_), groups = std::min(blocks, MOST_GROUPS), units = std::min(groups, threads_);
  const bool keeps_all = mode_ == Mode::inspect;
  const int part_blocks = blocks_of(part_size_), last = int(segments_.size()) - 1;
  at_once_ = keeps_all ? blocks : blocks_at_once(std::min((groups + units - 1) / units * ((blocks + groups - 1) / groups), part_blocks));
  Memory memory{arena_, mode_, batch_size_, blocks, part_blocks, groups, units, threads_, at_once_};
  const auto layout = [&](const Value<T>& value, const Halo& halo, bool whole) {
    return Layout<T>{value.shape, halo, value.by_image ? batch_size_ : whole ? blocks : at_once_, value.by_image ? 1 : LANES};
  };
  for (size_t v = 0; v < values_.size(); v++) {
    Value<T>& value = values_[v];
    if (memory_of_[v] != int(v)) {
      value.o = values_[memory_of_[v]].o;
      continue;
    }
    Layout<T> maps = layout(value, value.halo, value.whole_batch);
    const bool one = segment_of_[v] < last && !value.whole_batch;
    if (one) maps.blocks = 1;
    memory.whole_batch = value.whole_batch;
    value.o = memory.maps(memory.copies(), maps);
    for (Maps<T>& o : value.o)
      if (one) o.block = 0;
    if (value.padding_value != T(0) && arena_.allocated())
      for (const Maps<T>& o : value.o) std::fill_n(o.at(0, 0, -value.halo.before[0], -value.halo.before[1]), maps.size(), value.padding_value);
  }
  // Not at the end, which has no large pages.
  ptrdiff_t scratch = 0;
  for (const Operation& operation : operations_)
    std::visit([&](const auto& op) {
      if constexpr (requires { op.scratch(mode_); }) scratch = std::max(scratch, op.scratch(mode_));
    }, operation.op);
  scratch_.clear();
  for (int t = 0; t < threads_ && scratch; t++) scratch_.push_back(arena_.take<T>(scratch));
  const std::vector<int> place = shared_deltas();
  std::vector<size_t> sizes;
  for (size_t v = 0; v < values_.size(); v++)
    if (place[v] >= 0) {
      sizes.resize(std::max(sizes.size(), size_t(place[v]) + 1));
      sizes[place[v]] = std::max(sizes[place[v]], layout(values_[v], {}, true).size());
    }
  std::vector<T*> shared;
  for (size_t size : sizes) shared.push_back(memory.template take<T>(size));
  // What an operation before the first dense one reads alone, it uses up before the next block's is made.
  std::vector<bool> one_block(values_.size(), !keeps_all);
  one_block[layers_.back().value] = false;
  for (size_t i = head_; i < operations_.size(); i++) {
    one_block[operations_[i].gives] = false;
    for (int value : operations_[i].reads) one_block[value] = false;
  }
  for (size_t v = 0; v < values_.size(); v++) {
    Value<T>& value = values_[v];
    if (!value.has_delta) continue;
    if (place[v] >= 0) {
      value.delta = {layout(value, {}, true).in(shared[place[v]])};
      continue;
    }
    Layout<T> maps = layout(value, value.delta_halo, false);
    const bool one = one_block[v] && !value.by_image;
    if (one) maps.blocks = 1;
    memory.whole_batch = false;
    value.delta = memory.maps(memory.copies(), maps);
    for (Maps<T>& delta : value.delta)
      if (one) delta.block = 0;
  }
  gradients_.resize(parameter_shapes_.size());
  for (Operation& operation : operations_)
    std::visit([&](auto& op) {
      memory.by_image = values_[operation.gives].by_image;
      memory.whole_batch = values_[operation.gives].whole_batch;
      memory.backward = operation.backward;
      if constexpr (requires { op.place(memory, true); }) op.place(memory, values_[operation.gives].through != nullptr);
      if constexpr (requires { op.gradient(0); })
        for (size_t p = 0; p < operation.trained.size() && mode_ != Mode::predict; p++)
          if (operation.trained[p]) gradients_[operation.first_parameter + p] = op.gradient(int(p));
    }, operation.op);
  barriers_.clear();
  for (int u = 0; u <= units; u++) barriers_.push_back(std::make_unique<Barrier>());
  image_weight_ = arena_.take<double>(batch_size_), image_loss_ = arena_.take<double>(batch_size_);
  image_factor_ = arena_.take<T>(batch_size_), image_correct_ = arena_.take<int>(batch_size_);
}

template class Plan<float>;
template class Plan<double>;

}  // namespace convprop
