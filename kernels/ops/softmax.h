// The softmax of numbers that belong together: x = exp(o) / Σ exp(o).
//
// The largest is taken out of every exponent, which changes nothing but that none overflows. The sum
// runs over the numbers in order, from 0, as does that of the delta.
#pragma once

#include "machine/lane_math.h"
#include "ops/operands.h"

namespace convprop {

// Of `count` numbers so far apart, lane by lane.
template <class T>
void softmax(const T* o, ptrdiff_t o_step, T* x, ptrdiff_t x_step, int count) {
  Lanes<T> largest = Lanes<T>::load(o), sum = T(0);
  for (int k = 1; k < count; k++) largest = max(largest, Lanes<T>::load(o + k * o_step));
  for (int k = 0; k < count; k++) {
    const Lanes<T> e = exp(Lanes<T>::load(o + k * o_step) - largest);
    e.store(x + k * x_step);
    sum = sum + e;
  }
  for (int k = 0; k < count; k++) (Lanes<T>::load(x + k * x_step) / sum).store(x + k * x_step);
}

// At each pixel over the channels.
template <class T>
struct SoftmaxLayer {
  int C;

  // Pixels, counted in row order, of one block.
  void forward(const Maps<T>& o, const Maps<T>& x, int block, Range pixels) const {
    for (int p = pixels.begin; p < pixels.end; p++) {
      const int i = p / o.W, j = p % o.W;
      softmax(o.at(block, 0, i, j), o.channel, x.at(block, 0, i, j), x.channel, C);
    }
  }

  // delta_in[c] = x[c] (delta[c] - sum over k of delta[k] · x[k])
  void input_delta(const Maps<T>& delta, const Maps<T>& x, const Maps<T>& delta_in, int block, Range pixels, bool added = false) const {
    for (int p = pixels.begin; p < pixels.end; p++) {
      const int i = p / x.W, j = p % x.W;
      each_delta(delta, x, block, i, j, [&](int c, const Lanes<T>& back) {
        T* to = delta_in.at(block, c, i, j);
        (added ? Lanes<T>::load(to) + back : back).store(to);
      });
    }
  }

  // The same for rows of an image whose pixels are single numbers. Nothing is written past a row's end,
  // where another thread may be. Room for 16 C numbers to work in.
  void forward_image(const Maps<T>& o, const Maps<T>& x, int n, Range rows, T* room) const {
    for (int i = rows.begin; i < rows.end; i++)
      for (int j = 0; j < o.W; j += LANES) {
        softmax(o.at(n, 0, i, j), o.channel, room, LANES, C);
        for (int c = 0; c < C; c++) std::copy_n(room + c * LANES, std::min(LANES, o.W - j), x.at(n, c, i, j));
      }
  }

  void input_delta_image(const Maps<T>& delta, const Maps<T>& x, const Maps<T>& delta_in, int n) const {
    for (int i = 0; i < x.H; i++)
      for (int j = 0; j < x.W; j += LANES)
        each_delta(delta, x, n, i, j, [&](int c, const Lanes<T>& back) {
          alignas(VECTOR_BYTES) T numbers[LANES];
          back.store(numbers);
          std::copy_n(numbers, std::min(LANES, x.W - j), delta_in.at(n, c, i, j));
        });
  }

 private:
  template <class Body>
  CONVPROP_INLINE void each_delta(const Maps<T>& delta, const Maps<T>& x, int block, int i, int j, const Body& body) const {
    const auto at = [&](const Maps<T>& maps, int c) { return Lanes<T>::load(maps.at(block, c, i, j)); };
    Lanes<T> sum = T(0);
    for (int k = 0; k < C; k++) sum = fma(at(delta, k), at(x, k), sum);
    for (int c = 0; c < C; c++) body(c, at(x, c) * (at(delta, c) - sum));
  }
};

template <class T>
struct SoftmaxOp {
  SoftmaxLayer<T> layer;
  Shape shape;
  bool by_image;

  static bool takes(const Description& description, const Way&) { return description.kind() == "softmax"; }
  SoftmaxOp(const Description&, const Shape& in, const Way& way) : layer{in.C}, shape(in), by_image(way.by_image) {}

  ptrdiff_t scratch(Mode) const { return by_image ? room_for(shape.C, LANES) : 0; }
  void forward(const Operands<T>& v, Range blocks, const Share& at) const {
    for (int b = blocks.begin; b < blocks.end; b++) layer.forward(v.in(), v.out(), b, at.share_of(shape.H * shape.W));
  }
  // Of a single image's rows each thread has its share, as of other operations' maps.
  void forward_image(const Operands<T>& v, int n, Range, const Share& at) const {
    layer.forward_image(v.in(), v.out(), n, at.step->groups.images > 1 ? Range{0, shape.H} : at.share_of(shape.H), v.scratch);
  }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    for (int b = blocks.begin; b < blocks.end; b++)
      layer.input_delta(v.delta(), v.out(), v.delta_in(), b, at.share_of(shape.H * shape.W), v.added());
  }
  void input_delta_image(const Operands<T>& v, int n, const Share&) const {
    layer.input_delta_image(v.delta(), v.out(), v.delta_in(), n);
  }
};

}  // namespace convprop
