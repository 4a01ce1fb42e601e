// Activations, Eq. 8, and their part in the deltas, f'(x) of Eq. 19, found from the output
// o = f(x) so that x need not be kept.
#pragma once

#include <string>
#include <variant>

#include "machine/lane_math.h"
#include "maps/layout.h"
#include "ops/operands.h"

namespace convprop {

// Each is a type with its name, f(x) and derivative(o) = f'(x).
template <class T>
struct Identity {
  static constexpr const char* name = "identity";
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return x; }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>&) const { return T(1); }
};

template <class T>
struct ReLU {
  static constexpr const char* name = "relu";
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return max(x, Lanes<T>(T(0))); }
  // At the corner it is 0.
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>& o) const { return select(o > Lanes<T>(T(0)), Lanes<T>(T(1)), Lanes<T>(T(0))); }
};

template <class T>
struct LeakyReLU {
  static constexpr const char* name = "leaky_relu";
  T slope = T(0.01);  // below 0, and at the corner

  explicit LeakyReLU(const Description& description) : slope(T(description.number("slope"))) {}
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return select(x > Lanes<T>(T(0)), x, x * Lanes<T>(slope)); }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>& o) const { return select(o > Lanes<T>(T(0)), Lanes<T>(T(1)), Lanes<T>(slope)); }
};

template <class T>
struct Sigmoid {
  static constexpr const char* name = "sigmoid";
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return sigmoid(x); }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>& o) const { return o * (Lanes<T>(T(1)) - o); }
};

template <class T>
struct Tanh {
  static constexpr const char* name = "tanh";
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return tanh(x); }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>& o) const { return fma(-o, o, Lanes<T>(T(1))); }
};

// 1.7159 · tanh(2x/3) of LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998).
template <class T>
struct ScaledTanh {
  static constexpr const char* name = "scaled_tanh";
  static constexpr double HEIGHT = 1.7159, SLOPE = 2.0 / 3.0;
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return Lanes<T>(T(HEIGHT)) * tanh(x * Lanes<T>(T(SLOPE))); }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>& o) const {
    // Divided, so that at its ends it is 1 and the slope 0.
    const Lanes<T> t = o / Lanes<T>(T(HEIGHT));
    return Lanes<T>(T(HEIGHT * SLOPE)) * fma(-t, t, Lanes<T>(T(1)));
  }
};

template <class T>
struct Softplus {
  static constexpr const char* name = "softplus";
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return softplus(x); }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>& o) const { return -expm1(max(-o, Lanes<T>(T(-50)))); }
};

// The activations that there are.
template <class T>
using Activations = std::variant<Identity<T>, ReLU<T>, LeakyReLU<T>, Sigmoid<T>, Tanh<T>, ScaledTanh<T>, Softplus<T>>;

// One of them, over maps.
template <class T>
class ActivationLayer {
 public:
  ActivationLayer() = default;  // the identity
  explicit ActivationLayer(const Description& description) : f_(named<Activations<T>>(description, "activation")) {}

  bool identity() const { return std::holds_alternative<Identity<T>>(f_); }

  // body(f), with f of its own type.
  template <class Body>
  CONVPROP_INLINE auto known(const Body& body) const {
    return std::visit(body, f_);
  }

  void forward(const T* x, T* o, ptrdiff_t pixels) const {
    known([&](const auto& f) {
      for (ptrdiff_t p = 0; p < pixels; p++) f.forward(Lanes<T>::load(x + p * LANES)).store(o + p * LANES);
    });
  }

  // May write over delta itself. Added: to what delta_in holds.
  void input_delta(const T* delta, const T* o, T* delta_in, ptrdiff_t pixels, bool added = false) const {
    known([&](const auto& f) {
      for (ptrdiff_t p = 0; p < pixels; p++) {
        const Lanes<T> back = Lanes<T>::load(delta + p * LANES) * f.derivative(Lanes<T>::load(o + p * LANES));
        (added ? Lanes<T>::load(delta_in + p * LANES) + back : back).store(delta_in + p * LANES);
      }
    });
  }

  void forward(const Maps<T>& x, const Maps<T>& o, int block, Range channels) const {
    rows(o, channels, [&](int c, int i, ptrdiff_t pixels) { forward(x.at(block, c, i, 0), o.at(block, c, i, 0), pixels); },
         x.whole() && o.whole());
  }

  void input_delta(const Maps<T>& delta, const Maps<T>& o, const Maps<T>& delta_in, int block, Range channels, bool added = false) const {
    rows(o, channels,
         [&](int c, int i, ptrdiff_t pixels) {
           input_delta(delta.at(block, c, i, 0), o.at(block, c, i, 0), delta_in.at(block, c, i, 0), pixels, added);
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

  Activations<T> f_;
};

// That of the operation before, where this one takes its delta through f' at once; else the identity.
template <class T>
ActivationLayer<T> through(const Operands<T>& v) {
  return v.through() ? *v.through() : ActivationLayer<T>{};
}

// By itself, where it is not computed in place with the operation before it.
template <class T>
struct ActivationOp {
  static constexpr bool POINTWISE = true;
  ActivationLayer<T> layer;

  static bool takes(const Description& description, const Way&) { return description.kind() == "activation"; }
  ActivationOp() = default;  // the identity: a copy
  ActivationOp(const Description& description, const Shape&, const Way&) : layer(description) {}

  void forward(const Operands<T>& v, Range blocks, const Share& at) const {
    for (int b = blocks.begin; b < blocks.end; b++) layer.forward(v.in(), v.out(), b, at.share_of(v.gives.shape.C));
  }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    for (int b = blocks.begin; b < blocks.end; b++) layer.input_delta(v.delta(), v.out(), v.delta_in(), b, at.share_of(v.gives.shape.C), v.added());
  }
  void forward_image(const Operands<T>& v, int n, Range maps, const Share&) const { layer.forward_image(v.in(), v.out(), n, maps); }
  void input_delta_image(const Operands<T>& v, int n, const Share&) const {
    layer.input_delta_image(v.delta(), v.out(), n, v.delta_in(), n);
  }
};

}  // namespace convprop
