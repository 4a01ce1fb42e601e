// Plans of layers whose sizes are drawn at random, up to the largest that an int holds: each is
// refused, or computes in the memory that it has taken. It shows under AddressSanitizer and
// UndefinedBehaviorSanitizer whether a sum of sizes has left its type.
#include <climits>
#include <cstdio>
#include <new>
#include <stdexcept>

#include "augment.h"
#include "plan.h"

namespace {

using namespace convprop;

// Plans that take more are only measured.
constexpr size_t MOST_BYTES = size_t(1) << 24;

struct Draw {
  uint64_t next = 0;

  int below(int count) {
    uint64_t word;
    random_bits(14, next++, &word, 1);
    return int(word % uint64_t(count));
  }
  // Mostly small; else a size about a power of two, or the largest.
  int size(int least, int most_small) {
    if (below(16)) return least + below(most_small - least + 1);
    const int power = 1 << below(31);
    return below(4) ? std::max(least, power - 1 + below(3)) : INT_MAX - below(70);
  }
};

LayerSpec conv_or_pool(Draw& draw, const Shape& in) {
  LayerSpec spec;
  spec.kind = draw.below(3) ? LayerKind::conv : LayerKind::pool;
  spec.kernels = draw.size(1, 5);
  spec.pooling = Pooling(draw.below(3));
  spec.count_padding = draw.below(2);
  spec.flip = draw.below(2), spec.bias = draw.below(2);
  spec.groups = draw.below(4) ? 1 : in.C;
  if (spec.groups > 1) spec.kernels = int(std::min(ptrdiff_t(INT_MAX), ptrdiff_t(in.C) * (1 + draw.below(2))));
  for (int axis = 0; axis < 2; axis++) {
    Window& window = spec.window;
    window.size[axis] = draw.size(1, 4), window.stride[axis] = draw.size(1, 3), window.before[axis] = draw.size(0, 2);
    window.dilation[axis] = spec.kind == LayerKind::conv ? draw.size(1, 2) : 1;
    // What "same" gives: as many as the window reaches.
    window.after[axis] = draw.below(3) ? draw.size(0, 2) : int(std::min(ptrdiff_t(INT_MAX), window.reach(axis) / 2));
    if (!draw.below(3)) window.before[axis] = window.after[axis];
  }
  spec.winograd = spec.kind == LayerKind::conv && !draw.below(6);
  if (spec.winograd) {
    spec.groups = 1;
    for (int axis = 0; axis < 2; axis++) spec.window.size[axis] = 3, spec.window.stride[axis] = spec.window.dilation[axis] = 1;
  }
  return spec;
}

template <class T>
bool compute(Draw& draw) {
  const Shape input{draw.size(1, 3), draw.size(1, 9), draw.size(1, 9)};
  std::vector<LayerSpec> layers{conv_or_pool(draw, input)};
  LayerSpec activation, dense;
  activation.kind = LayerKind::activation, activation.activation = Activation::tanh;
  dense.kind = LayerKind::dense, dense.kernels = draw.size(1, 3);
  if (draw.below(2)) layers.push_back(activation);
  layers.push_back(dense);
  const int batch = draw.size(1, 40), threads = 1 + draw.below(3);
  const Mode mode = Mode(draw.below(3));
  const auto plan_of = [&](bool measured_alone) {
    return std::make_unique<Plan<T>>(input, layers, LossSpec{Loss::squared_error, 0}, true, batch, mode, threads, measured_alone);
  };
  const auto measured = plan_of(true);
  ptrdiff_t numbers = ptrdiff_t(batch) * (ptrdiff_t(input.C) * input.H * input.W + dense.kernels);
  for (const auto& shape : measured->parameter_shapes()) {
    ptrdiff_t size = 1;
    for (ptrdiff_t s : shape) size *= s;
    numbers += size;
  }
  if (measured->bytes() > MOST_BYTES || numbers > ptrdiff_t(MOST_BYTES)) return false;
  const auto plan = plan_of(false);
  std::vector<std::vector<T>> parameters, state;
  std::vector<T*> p, s;
  for (const auto& shape : plan->parameter_shapes()) {
    ptrdiff_t size = 1;
    for (ptrdiff_t length : shape) size *= length;
    parameters.emplace_back(size, T(0.01));
    state.emplace_back(size);
  }
  for (auto& values : parameters) p.push_back(values.data());
  for (auto& values : state) s.push_back(values.data());
  plan->bind(p);
  plan->bind_optimizer(Optimizer{}, s);
  const std::vector<uint8_t> pixels(size_t(batch) * input.C * input.H * input.W, 100);
  const std::vector<T> offset(input.C, T(127)), scale(input.C, T(1.0 / 127)), targets(size_t(batch) * dense.kernels, T(0.5));
  const Images<T> images{pixels.data(), nullptr, nullptr, batch, offset.data(), scale.data()};
  std::vector<T> out(targets.size());
  if (mode == Mode::predict) plan->predict(images, out.data());
  else plan->train_step(images, {nullptr, targets.data(), nullptr}, nullptr, 0.01, 1, 7);
  return true;
}

template <class T>
void augment(Draw& draw) {
  Augmentation how;
  const Shape shape{1 + draw.below(2), 1 + draw.below(9), 1 + draw.below(9)};
  for (int axis = 0; axis < 2; axis++) how.shift[axis] = draw.size(0, 4), how.flip[axis] = 0.5;
  if (draw.below(2)) how.rotation = 0.5, how.zoom = draw.below(2) ? 1e300 : 0.1, how.elastic = draw.size(0, 3), how.crop = 1e-300;
  how.erase = 0.5;
  const std::vector<T> mean(shape.C, T(1)), deviation(shape.C, T(1));
  const std::vector<uint8_t> image(size_t(shape.C) * shape.H * shape.W, 9);
  std::vector<T> out(image.size());
  Augmenter<T>(how, shape, mean.data(), deviation.data())(image.data(), {1, 2, draw.next}, out.data());
}

}  // namespace

int main() {
  Draw draw;
  int computed = 0, measured = 0, refused = 0, too_large = 0;
  for (int n = 0; n < 10000; n++) {
    try {
      const bool ran = n % 2 ? compute<float>(draw) : compute<double>(draw);
      (ran ? computed : measured)++;
    } catch (const std::invalid_argument&) {
      refused++;
    } catch (const std::bad_alloc&) {
      too_large++;
    }
    if (n % 8 == 0) augment<float>(draw), augment<double>(draw);
  }
  std::printf("%d plans computed, %d measured alone, %d refused, %d past all memory\n", computed, measured, refused, too_large);
  return computed < 2000 || measured < 100 || refused < 1000 || too_large < 1;
}
