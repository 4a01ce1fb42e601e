// Plans of layers whose sizes are drawn at random, up to the largest that an int holds: each is
// refused, or computes in the memory that it has taken. It shows under AddressSanitizer and
// UndefinedBehaviorSanitizer whether a sum of sizes has left its type.
#include <climits>
#include <cstdio>
#include <new>
#include <sstream>
#include <stdexcept>

#include "ops/augment.h"
#include "plan/plan.h"

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

std::string conv_or_pool(Draw& draw, const Shape& in) {
  const bool conv = draw.below(3), winograd = conv && !draw.below(6);
  int size[2], stride[2], dilation[2], before[2], after[2];
  for (int axis = 0; axis < 2; axis++) {
    size[axis] = draw.size(1, 4), stride[axis] = draw.size(1, 3), before[axis] = draw.size(0, 2), dilation[axis] = draw.size(1, 2);
    if (winograd) size[axis] = 3, stride[axis] = dilation[axis] = 1;
    // What "same" gives: as many as the window reaches.
    const ptrdiff_t reach = (ptrdiff_t(size[axis]) - 1) * dilation[axis] + 1;
    after[axis] = draw.below(3) ? draw.size(0, 2) : int(std::min(ptrdiff_t(INT_MAX), reach / 2));
    if (!draw.below(3)) before[axis] = after[axis];
  }
  const auto pair = [](const int (&of)[2]) { return std::to_string(of[0]) + "," + std::to_string(of[1]); };
  std::ostringstream text;
  text << (conv ? "conv kernel_size=" : "pool size=") << pair(size) << " stride=" << pair(stride) << " padding=" << before[0] << ","
       << after[0] << "," << before[1] << "," << after[1] << " dilation=" << pair(dilation);
  if (!conv) {
    constexpr const char* kinds[] = {"max", "average", "l2"};
    text << " pool=" << kinds[draw.below(3)] << " count_padding=" << draw.below(2);
    if (!draw.below(3)) text << " overhang=" << draw.size(0, 1) << "," << draw.size(0, 1);
  } else {
    const int groups = winograd || draw.below(4) ? 1 : in.C;
    const ptrdiff_t kernels = groups > 1 ? std::min(ptrdiff_t(INT_MAX), ptrdiff_t(in.C) * (1 + draw.below(2))) : draw.size(1, 5);
    text << " kernels=" << kernels << " groups=" << groups << " flip_kernel=" << draw.below(2)
         << " bias=" << draw.below(2) << " padding_value=0 algorithm=" << (winograd ? "winograd" : "direct");
  }
  return text.str();
}

template <class T>
bool compute(Draw& draw) {
  const Shape input{draw.size(1, 3), draw.size(1, 9), draw.size(1, 9)};
  std::vector<std::string> layers{conv_or_pool(draw, input)};
  const int units = draw.size(1, 3);
  constexpr const char* behind[] = {"activation activation=tanh", "activation activation=gelu", "prelu by_channel=1", "prelu by_channel=0", "softmax"};
  if (draw.below(2)) layers.push_back(behind[draw.below(5)]);
  layers.push_back("dense bias=1 units=" + std::to_string(units));
  for (size_t l = 0; l < layers.size(); l++) layers[l] += " reads=" + std::to_string(l);
  const int batch = draw.size(1, 40), threads = 1 + draw.below(3);
  const Mode mode = Mode(draw.below(3));
  const auto plan_of = [&](bool measured_alone) {
    return std::make_unique<Plan<T>>(input, layers, LossSpec{Loss::squared_error, 0}, true, batch, mode, threads, measured_alone);
  };
  const auto measured = plan_of(true);
  ptrdiff_t numbers = ptrdiff_t(batch) * (ptrdiff_t(input.C) * input.H * input.W + units);
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
  const std::vector<T> offset(input.C, T(127)), scale(input.C, T(1.0 / 127)), targets(size_t(batch) * units, T(0.5));
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
  for (int n = 0; n < 4000; n++) {
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
  return computed < 800 || measured < 40 || refused < 400 || too_large < 1;
}
