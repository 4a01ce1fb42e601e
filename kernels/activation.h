// Activations, Eq. 8, and their part in the deltas, f'(x) of Eq. 19, found from the output
// o = f(x) so that x need not be kept.
#pragma once

#include "lane_math.h"
#include "geometry.h"
#include "layout.h"

namespace convprop {

enum class Activation { identity, relu, leaky_relu, sigmoid, tanh, scaled_tanh, softplus };

// The scaled tanh 1.7159 · tanh(2x/3) of LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998).
inline constexpr double SCALED_TANH_HEIGHT = 1.7159, SCALED_TANH_SLOPE = 2.0 / 3.0;

template <class T>
struct ActivationLayer {
  Activation kind = Activation::identity;
  T slope = 0;  // of the leaky ReLU, below 0

  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const {
    switch (kind) {
      case Activation::relu: return max(x, Lanes<T>(T(0)));
      case Activation::leaky_relu: return select(x > Lanes<T>(T(0)), x, x * Lanes<T>(slope));
      case Activation::sigmoid: return sigmoid(x);
      case Activation::tanh: return tanh(x);
      case Activation::scaled_tanh: return Lanes<T>(T(SCALED_TANH_HEIGHT)) * tanh(x * Lanes<T>(T(SCALED_TANH_SLOPE)));
      case Activation::softplus: return softplus(x);
      case Activation::identity: break;
    }
    return x;
  }

  // f'(x). At the corner of a ReLU it is 0, and the slope of a leaky one.
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>& o) const {
    const Lanes<T> zero = T(0), one = T(1);
    switch (kind) {
      case Activation::relu: return select(o > zero, one, zero);
      case Activation::leaky_relu: return select(o > zero, one, Lanes<T>(slope));
      case Activation::sigmoid: return o * (one - o);
      case Activation::tanh: return fma(-o, o, one);
      case Activation::scaled_tanh: {
        // Divided, so that at its ends it is 1 and the slope 0.
        const Lanes<T> t = o / Lanes<T>(T(SCALED_TANH_HEIGHT));
        return Lanes<T>(T(SCALED_TANH_HEIGHT * SCALED_TANH_SLOPE)) * fma(-t, t, one);
      }
      case Activation::softplus: return -expm1(max(-o, Lanes<T>(T(-50))));
      case Activation::identity: break;
    }
    return one;
  }

  // body(f), where f() is this activation, its kind known to the compiler.
  template <class Body>
  CONVPROP_INLINE auto known(const Body& body) const {
    switch (kind) {
      case Activation::relu: return body([] { return ActivationLayer{Activation::relu}; });
      case Activation::leaky_relu: return body([this] { return ActivationLayer{Activation::leaky_relu, slope}; });
      case Activation::sigmoid: return body([] { return ActivationLayer{Activation::sigmoid}; });
      case Activation::tanh: return body([] { return ActivationLayer{Activation::tanh}; });
      case Activation::scaled_tanh: return body([] { return ActivationLayer{Activation::scaled_tanh}; });
      case Activation::softplus: return body([] { return ActivationLayer{Activation::softplus}; });
      case Activation::identity: break;
    }
    return body([] { return ActivationLayer{Activation::identity}; });
  }

  void forward(const T* x, T* o, ptrdiff_t pixels) const {
    known([&](const auto& f) {
      for (ptrdiff_t p = 0; p < pixels; p++) f().forward(Lanes<T>::load(x + p * LANES)).store(o + p * LANES);
    });
  }

  // May write over delta itself.
  void input_delta(const T* delta, const T* o, T* delta_in, ptrdiff_t pixels) const {
    known([&](const auto& f) {
      for (ptrdiff_t p = 0; p < pixels; p++)
        (Lanes<T>::load(delta + p * LANES) * f().derivative(Lanes<T>::load(o + p * LANES))).store(delta_in + p * LANES);
    });
  }

  void forward(const Maps<T>& x, const Maps<T>& o, int block, Range channels) const {
    rows(o, channels, [&](int c, int i, ptrdiff_t pixels) { forward(x.at(block, c, i, 0), o.at(block, c, i, 0), pixels); },
         x.whole() && o.whole());
  }

  void input_delta(const Maps<T>& delta, const Maps<T>& o, const Maps<T>& delta_in, int block, Range channels) const {
    rows(o, channels,
         [&](int c, int i, ptrdiff_t pixels) {
           input_delta(delta.at(block, c, i, 0), o.at(block, c, i, 0), delta_in.at(block, c, i, 0), pixels);
         },
         delta.whole() && o.whole() && delta_in.whole());
  }

  // The same for image n of maps whose pixels are single numbers. Whole vectors are written: what
  // they leave behind the rows, clear_margins() puts right (image_conv.h).
  void forward_image(const Maps<T>& x, const Maps<T>& o, int n, Range channels) const {
    chunks(o, channels, [&](int c, int i, int j) { forward(x.at(n, c, i, j), o.at(n, c, i, j), 1); });
  }

  void input_delta_image(const Maps<T>& delta, const Maps<T>& o, int n, const Maps<T>& delta_in, int n_in) const {
    chunks(delta, {0, delta.C}, [&](int c, int i, int j) {
      input_delta(delta.at(n, c, i, j), o.at(n, c, i, j), delta_in.at(n_in, c, i, j), 1);
    });
  }

 private:
  template <class Chunk>
  static void chunks(const Maps<T>& maps, Range channels, const Chunk& chunk) {
    for (int c = channels.begin; c < channels.end; c++)
      for (int i = 0; i < maps.H; i++)
        for (int j = 0; j < maps.W; j += LANES) chunk(c, i, j);
  }

  // Maps without a halo are one long row.
  template <class Row>
  static void rows(const Maps<T>& maps, Range channels, const Row& row, bool whole) {
    if (whole) return row(channels.begin, 0, ptrdiff_t(channels.end - channels.begin) * maps.H * maps.W);
    for (int c = channels.begin; c < channels.end; c++)
      for (int i = 0; i < maps.H; i++) row(c, i, maps.W);
  }
};

}  // namespace convprop
