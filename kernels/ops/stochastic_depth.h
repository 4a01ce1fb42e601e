// Stochastic depth: a branch of whole images left out at random, in training alone.
#pragma once

#include "machine/random.h"
#include "ops/join.h"

namespace convprop {

// Huang, Sun, Liu, Sedra and Weinberger (2016), image by image, with the division by 1 - rate at
// training time: so the expected value is the one of predictions. An image's fate is a function of
// the seed, the step, the layer and its place in the batch; its delta meets the same one.
template <class T>
struct StochasticDepthLayer {
  double rate;

  // Added: to what x holds.
  void forward(const Maps<T>& o, const Maps<T>& x, int block, Range channels, uint64_t seed, uint64_t step, int layer,
               bool added = false) const {
    alignas(VECTOR_BYTES) T each[LANES];
    factors(seed, step, layer, block * LANES, 1, each);
    times(o, x, block, channels, Lanes<T>::load(each), added);
  }

  // The same for image n of maps whose pixels are single numbers.
  void forward_image(const Maps<T>& o, const Maps<T>& x, int n, Range channels, uint64_t seed, uint64_t step, int layer) const {
    T each[LANES];
    factors(seed, step, layer, n, 0, each);
    times(o, x, n, channels, each[0], false);
  }

 private:
  // What sixteen images are multiplied by, lane l so many on.
  void factors(uint64_t seed, uint64_t step, int layer, int image, int image_step, T (&each)[LANES]) const {
    // "droppath": apart from dropout's words.
    const RandomLanes r = step_words(seed ^ 0x64726F7070617468u, step, layer, 0, 0, image, image_step);
    const uint32_t dropped_below = uint32_t(rate * 4294967296.0);
    for (int l = 0; l < LANES; l++) each[l] = r.word[0][l] < dropped_below ? T(0) : T(1 / (1 - rate));
  }
  static void times(const Maps<T>& o, const Maps<T>& x, int block, Range channels, const Lanes<T>& factor, bool added) {
    each_vector(x, {block, block + 1}, channels, [&](int b, int c, int i, int j) {
      put(Lanes<T>::load(o.at(b, c, i, j)) * factor, x.at(b, c, i, j), added);
    });
  }
};

template <class T>
struct StochasticDepthOp {
  static constexpr bool POINTWISE = true;
  StochasticDepthLayer<T> layer;
  Mode mode;

  static bool takes(const Description& description, const Way&) { return description.kind() == "stochastic_depth"; }
  StochasticDepthOp(const Description& description, const Shape&, const Way& way) : layer{description.number("rate")}, mode(way.mode) {
    if (!(layer.rate >= 0 && layer.rate < 1)) description.refuse("rate must lie in [0, 1)");
  }

  bool passes_on(bool alone) const { return alone && mode == Mode::predict; }
  void forward(const Operands<T>& v, Range blocks, const Share& at) const { drop(v, v.in(), v.out(), blocks, at, false); }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    drop(v, v.delta(), v.delta_in(), blocks, at, v.added());
  }
  void forward_image(const Operands<T>& v, int n, Range maps, const Share& at) const {
    now(at).forward_image(v.in(), v.out(), n, maps, at.step->seed, at.step->number, v.layer);
  }
  void input_delta_image(const Operands<T>& v, int n, const Share& at) const {
    const Maps<T> to = v.delta_in();
    now(at).forward_image(v.delta(), to, n, {0, to.C}, at.step->seed, at.step->number, v.layer);
  }

 private:
  // Step 0 is no training step: nothing is dropped in it.
  StochasticDepthLayer<T> now(const Share& at) const { return at.step->number ? layer : StochasticDepthLayer<T>{0}; }
  void drop(const Operands<T>& v, const Maps<T>& from, const Maps<T>& to, Range blocks, const Share& at, bool added) const {
    for (int b = blocks.begin; b < blocks.end; b++)
      now(at).forward(from, to, b, at.share_of(to.C), at.step->seed, at.step->number, v.layer, added);
  }
};

}  // namespace convprop
