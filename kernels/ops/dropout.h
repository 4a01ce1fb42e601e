// Dropout: numbers of a map left out at random, in training alone.
#pragma once

#include "machine/random.h"
#include "ops/operands.h"

namespace convprop {

// Dropout of Srivastava et al. (2014), with the scaling by 1 / (1 - rate) at training time.
// A unit's fate is a function of the seed, the step, the layer, its image's place in the
// batch and its own place in the map; its delta meets the same mask. Added: to what x holds.
template <class T>
struct DropoutLayer {
  double rate;

  void forward(const Maps<T>& o, const Maps<T>& x, int block, Range channels, uint64_t seed, uint64_t step, int layer,
               bool added = false) const {
    const auto put = [&](const auto& store) {
      const int pixels = o.H * o.W;
      const uint32_t dropped_below = threshold();
      const Lanes<T> scale = T(1 / (1 - rate));
      for (int unit = channels.begin * pixels; unit < channels.end * pixels;) {
        const RandomLanes r = random(seed, step, layer, unit / 4, 0, block * LANES, 1);
        for (int word = unit % 4; word < 4 && unit < channels.end * pixels; word++, unit++) {
          const int c = unit / pixels, i = unit % pixels / o.W, j = unit % o.W;
          alignas(VECTOR_BYTES) T kept[LANES];
          for (int l = 0; l < LANES; l++) kept[l] = r.word[word][l] < dropped_below ? T(0) : T(1);
          store(Lanes<T>::load(o.at(block, c, i, j)) * scale * Lanes<T>::load(kept), x.at(block, c, i, j));
        }
      }
    };
    if (added) put([](const Lanes<T>& value, T* to) { (Lanes<T>::load(to) + value).store(to); });
    else put([](const Lanes<T>& value, T* to) { value.store(to); });
  }

  // The same for image n of maps whose pixels are single numbers: sixteen times four units at once.
  void forward_image(const Maps<T>& o, const Maps<T>& x, int n, uint64_t seed, uint64_t step, int layer) const {
    const uint32_t dropped_below = threshold();
    const T scale = T(1 / (1 - rate));
    int unit = 0, c = 0, i = 0, j = 0;
    while (c < o.C) {
      const RandomLanes r = random(seed, step, layer, unit / 4, 1, n, 0);
      for (int u = 0; u < 4 * LANES && c < o.C; u++, unit++) {
        *x.at(n, c, i, j) = *o.at(n, c, i, j) * scale * (r.word[u % 4][u / 4] < dropped_below ? T(0) : T(1));
        if (++j == o.W) j = 0, i++;
        if (i == o.H) i = 0, c++;
      }
    }
  }

 private:
  static RandomLanes random(uint64_t seed, uint64_t step, int layer, int units, int unit_step, int image, int image_step) {
    // "dropout!": apart from every random_bits stream.
    return step_words(seed ^ 0x64726F706F757421u, step, layer, units, unit_step, image, image_step);
  }
  uint32_t threshold() const { return uint32_t(rate * 4294967296.0); }
};

template <class T>
struct DropoutOp {
  static constexpr bool POINTWISE = true;
  DropoutLayer<T> layer;
  Mode mode;

  static bool takes(const Description& description, const Way&) { return description.kind() == "dropout"; }
  DropoutOp(const Description& description, const Shape&, const Way& way) : layer{description.number("rate")}, mode(way.mode) {
    if (!(layer.rate >= 0 && layer.rate < 1)) description.refuse("rate must lie in [0, 1)");
  }

  bool passes_on(bool alone) const { return alone && mode == Mode::predict; }
  void forward(const Operands<T>& v, Range blocks, const Share& at) const { drop(v, v.in(), v.out(), blocks, at, false); }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    drop(v, v.delta(), v.delta_in(), blocks, at, v.added());
  }
  void forward_image(const Operands<T>& v, int n, Range, const Share& at) const {
    if (at.step->groups.images > 1 || at.part == 0) now(at).forward_image(v.in(), v.out(), n, at.step->seed, at.step->number, v.layer);
  }
  void input_delta_image(const Operands<T>& v, int n, const Share& at) const {
    now(at).forward_image(v.delta(), v.delta_in(), n, at.step->seed, at.step->number, v.layer);
  }

 private:
  // Step 0 is no training step: nothing is dropped in it.
  DropoutLayer<T> now(const Share& at) const { return at.step->number ? layer : DropoutLayer<T>{0}; }
  void drop(const Operands<T>& v, const Maps<T>& from, const Maps<T>& to, Range blocks, const Share& at, bool added) const {
    for (int b = blocks.begin; b < blocks.end; b++)
      now(at).forward(from, to, b, at.share_of(v.gives.shape.C), at.step->seed, at.step->number, v.layer, added);
  }
};

}  // namespace convprop
