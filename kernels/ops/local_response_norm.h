// Local response normalisation: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep
// convolutional neural networks", NIPS 2012, Section 3.3, with alpha divided by the window's size, as
// frameworks have it. Over the channels c' of a window of n round c, as far as there are any,
//
//   d[c] = k + alpha / n · Σ o[c']²,  x[c] = o[c] · d[c]^-beta,
//
// and, each number being in the windows of those round it,
//
//   dE/do[c] = delta[c] · d[c]^-beta - 2 · alpha · beta / n · o[c] · Σ delta[c'] · x[c'] / d[c'].
//
// Both sums are chains from 0 from the lowest channel on; the power is exp(-beta · log d).
#pragma once

#include "machine/lane_math.h"
#include "ops/join.h"

namespace convprop {

template <class T>
struct LocalResponseNormOp {
  Shape shape;
  int half;  // channels of a window on each side
  T k, part, beta, slope;

  static bool takes(const Description& description, const Way&) { return description.kind() == "local_response_norm"; }
  LocalResponseNormOp(const Description& description, const Shape& in, const Way&) : shape(in) {
    const int size = description.integer("size");
    const double alpha = description.number("alpha"), power = description.number("beta");
    if (size < 1 || size % 2 == 0) description.refuse("size must be odd");
    half = std::min(size / 2, in.C - 1);
    k = T(description.number("k")), beta = T(power);
    part = T(alpha / size), slope = T(2 * alpha * power / size);
  }

  ptrdiff_t scratch(Mode mode) const { return mode == Mode::predict ? 0 : room_for(2 * LANES * ptrdiff_t(kept()), shape.W); }

  void forward(const Operands<T>& v, Range blocks, const Share& at) const { normalise(v, blocks, at.share_of(shape.C)); }
  void forward_image(const Operands<T>& v, int n, Range maps, const Share&) const { normalise(v, {n, n + 1}, maps); }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const { send(v, blocks, at.share_of(shape.C)); }
  void input_delta_image(const Operands<T>& v, int n, const Share&) const { send(v, {n, n + 1}, {0, shape.C}); }

 private:
  int kept() const { return 2 * half + 1; }
  Range window(int c) const { return {std::max(c - half, 0), std::min(c + half + 1, shape.C)}; }

  CONVPROP_INLINE Lanes<T> d_of(const Maps<T>& o, int b, int c, int i, int j) const {
    Lanes<T> sum = T(0);
    const Range channels = window(c);
    for (int other = channels.begin; other < channels.end; other++) {
      const Lanes<T> pixel = Lanes<T>::load(o.at(b, other, i, j));
      sum = fma(pixel, pixel, sum);
    }
    return fma(Lanes<T>(part), sum, Lanes<T>(k));
  }
  CONVPROP_INLINE Lanes<T> power(const Lanes<T>& d) const { return exp(Lanes<T>(-beta) * log(d)); }

  void normalise(const Operands<T>& v, Range blocks, Range channels) const {
    const Maps<T> o = v.in(), x = v.out();
    each_vector(x, blocks, channels, [&](int b, int c, int i, int j) {
      (Lanes<T>::load(o.at(b, c, i, j)) * power(d_of(o, b, c, i, j))).store(x.at(b, c, i, j));
    });
  }

  // Along the channels of each row: what a channel's neighbours need of it waits until they have had it.
  void send(const Operands<T>& v, Range blocks, Range channels) const {
    if (channels.begin == channels.end) return;
    const Maps<T> o = v.in(), delta = v.delta(), to = v.delta_in();
    const int step = to.pixel == 1 ? LANES : 1;
    const Range needed{window(channels.begin).begin, window(channels.end - 1).end};
    // d^-beta of channel c, and x / d.
    const auto waiting = [&](int c, int j) { return v.scratch + (ptrdiff_t(c % kept()) * lots(to.W, step) + j / step) * (2 * LANES); };
    for (int b = blocks.begin; b < blocks.end; b++)
      for (int i = 0; i < to.H; i++)
        for (int c = needed.begin; c < channels.end + half; c++) {
          for (int j = 0; j < to.W && c < needed.end; j += step) {
            const Lanes<T> d = d_of(o, b, c, i, j), p = power(d);
            p.store(waiting(c, j));
            (Lanes<T>::load(o.at(b, c, i, j)) * p / d).store(waiting(c, j) + LANES);
          }
          const int own = c - half;
          if (own < channels.begin) continue;
          for (int j = 0; j < to.W; j += step) {
            Lanes<T> sum = T(0);
            for (int other = window(own).begin; other < window(own).end; other++)
              sum = fma(Lanes<T>::load(delta.at(b, other, i, j)), Lanes<T>::load(waiting(other, j) + LANES), sum);
            const Lanes<T> straight = Lanes<T>::load(delta.at(b, own, i, j)) * Lanes<T>::load(waiting(own, j));
            const Lanes<T> round = Lanes<T>(slope) * Lanes<T>::load(o.at(b, own, i, j));
            put(fma(-round, sum, straight), to.at(b, own, i, j), v.added());
          }
        }
  }
};

}  // namespace convprop
