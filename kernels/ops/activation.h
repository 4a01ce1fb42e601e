// Activations, Eq. 8, and their part in the deltas, f'(x) of Eq. 19. That of most is found from the
// output o = f(x), so that x need not be kept: they are FROM_OUTPUT. The others fall and rise, and ask
// for x.
//
// At -∞ and ∞ f and f' are their limits. Error of f in units in the last place, where x and f(x) are
// normal numbers: that of lane_math.h; of ELU, SELU, hard sigmoid and softsign below 2, of SiLU and hard
// swish below 3, of Mish below 5, of GELU below 6. GELU's tanh form is below 4 from -1 on; further left
// the rounding of its exponent v makes it 5 + 2|v| at the most (tests/test_lane_math.py measures them).
// Where f' comes from o, or is a difference, its error is that of a number as large as f' is anywhere.
#pragma once

#include <string>
#include <variant>

#include "machine/lane_math.h"
#include "maps/layout.h"
#include "ops/operands.h"

namespace convprop {

// Each is a type with its name, f(x) and derivative(x, o) = f'(x).
template <class T>
struct Identity {
  static constexpr const char* name = "identity";
  static constexpr bool FROM_OUTPUT = true;
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return x; }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>&, const Lanes<T>&) const { return T(1); }
};

template <class T>
struct ReLU {
  static constexpr const char* name = "relu";
  static constexpr bool FROM_OUTPUT = true;
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return max(x, Lanes<T>(T(0))); }
  // At the corner it is 0.
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>&, const Lanes<T>& o) const { return select(o > Lanes<T>(T(0)), Lanes<T>(T(1)), Lanes<T>(T(0))); }
};

template <class T>
struct LeakyReLU {
  static constexpr const char* name = "leaky_relu";
  static constexpr bool FROM_OUTPUT = true;
  T slope = T(0.01);  // below 0, and at the corner

  explicit LeakyReLU(const Description& description) : slope(T(description.number("slope"))) {}
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return select(x > Lanes<T>(T(0)), x, x * Lanes<T>(slope)); }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>&, const Lanes<T>& o) const { return select(o > Lanes<T>(T(0)), Lanes<T>(T(1)), Lanes<T>(slope)); }
};

template <class T>
struct Sigmoid {
  static constexpr const char* name = "sigmoid";
  static constexpr bool FROM_OUTPUT = true;
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return sigmoid(x); }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>&, const Lanes<T>& o) const { return o * (Lanes<T>(T(1)) - o); }
};

template <class T>
struct Tanh {
  static constexpr const char* name = "tanh";
  static constexpr bool FROM_OUTPUT = true;
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return tanh(x); }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>&, const Lanes<T>& o) const { return fma(-o, o, Lanes<T>(T(1))); }
};

// 1.7159 · tanh(2x/3) of LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998).
template <class T>
struct ScaledTanh {
  static constexpr const char* name = "scaled_tanh";
  static constexpr bool FROM_OUTPUT = true;
  static constexpr double HEIGHT = 1.7159, SLOPE = 2.0 / 3.0;
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return Lanes<T>(T(HEIGHT)) * tanh(x * Lanes<T>(T(SLOPE))); }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>&, const Lanes<T>& o) const {
    // Divided, so that at its ends it is 1 and the slope 0.
    const Lanes<T> t = o / Lanes<T>(T(HEIGHT));
    return Lanes<T>(T(HEIGHT * SLOPE)) * fma(-t, t, Lanes<T>(T(1)));
  }
};

template <class T>
struct Softplus {
  static constexpr const char* name = "softplus";
  static constexpr bool FROM_OUTPUT = true;
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return softplus(x); }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>&, const Lanes<T>& o) const { return -expm1(max(-o, Lanes<T>(T(-50)))); }
};

// x between 0 and 6, the slope 0 at both corners.
template <class T>
struct ReLU6 {
  static constexpr const char* name = "relu6";
  static constexpr bool FROM_OUTPUT = true;
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return min(max(x, Lanes<T>(T(0))), Lanes<T>(T(6))); }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>&, const Lanes<T>& o) const {
    return select((o > Lanes<T>(T(0))) & (o < Lanes<T>(T(6))), Lanes<T>(T(1)), Lanes<T>(T(0)));
  }
};

// height · x above 0, else depth · (exp(x) - 1), with the slope depth at 0.
template <class T>
struct Exponential {
  static constexpr bool FROM_OUTPUT = true;
  T height, depth;

  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const {
    const Lanes<T> zero = T(0), below = max(min(x, zero), Lanes<T>(T(-50)));
    return select(x > zero, x * Lanes<T>(height), expm1(below) * Lanes<T>(depth));
  }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>&, const Lanes<T>& o) const {
    return select(o > Lanes<T>(T(0)), Lanes<T>(height), o + Lanes<T>(depth));
  }
};

template <class T>
struct ELU : Exponential<T> {
  static constexpr const char* name = "elu";
  explicit ELU(const Description& description) : Exponential<T>{T(1), T(description.number("alpha"))} {}
};

// Height λ and depth λα are such that mean 0 and variance 1 of a normal x are those of f(x).
template <class T>
struct SELU : Exponential<T> {
  static constexpr const char* name = "selu";
  SELU() : Exponential<T>{T(1.0507009873554804934), T(1.7580993408473768600)} {}
};

// x / 6 + 1/2 between 0 and 1, the slope 0 at both corners. What lies before the upper one stays below
// 1, also where it rounds to that, since there f' is told by o.
template <class T>
struct HardSigmoid {
  static constexpr const char* name = "hard_sigmoid";
  static constexpr bool FROM_OUTPUT = true;
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const {
    const Lanes<T> three = T(3), one = T(1), largest = T(1) - std::numeric_limits<T>::epsilon() / 2;
    const Lanes<T> o = max((x + three) * Lanes<T>(T(1.0 / 6)), Lanes<T>(T(0)));
    return select(x < three, min(o, largest), min(o, one));
  }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>&, const Lanes<T>& o) const {
    return select((o > Lanes<T>(T(0))) & (o < Lanes<T>(T(1))), Lanes<T>(T(1.0 / 6)), Lanes<T>(T(0)));
  }
};

// x / (1 + |x|).
template <class T>
struct Softsign {
  static constexpr const char* name = "softsign";
  static constexpr bool FROM_OUTPUT = true;
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const {
    const Lanes<T> largest = std::numeric_limits<T>::max(), size = abs(x), bounded = select(size > largest, largest, size);
    return from_bits<T>(bits_of(bounded / (Lanes<T>(T(1)) + bounded)) | (bits_of(x) ^ bits_of(size)));
  }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>&, const Lanes<T>& o) const {
    const Lanes<T> root = Lanes<T>(T(1)) - abs(o);
    return root * root;
  }
};

// For x times what falls to 0 on the left: -∞ times 0 would be no number. From -1000 on it is 0 in all formats.
template <class T>
CONVPROP_INLINE Lanes<T> not_far_left(const Lanes<T>& x) {
  return max(x, Lanes<T>(T(-1000)));
}

// The same for what falls to 0 on both sides.
template <class T>
CONVPROP_INLINE Lanes<T> not_far(const Lanes<T>& x) {
  return min(not_far_left(x), Lanes<T>(T(1000)));
}

// x Φ(x), Φ being the standard normal distribution.
template <class T>
struct GELU {
  static constexpr const char* name = "gelu";
  static constexpr bool FROM_OUTPUT = false;
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return not_far_left(x) * Normal<T>(x).below; }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>& x, const Lanes<T>&) const {
    const Normal<T> n(x);
    return fma(n.x * n.bell, Lanes<T>(T(0.39894228040143267794)), n.below);  // 1 / √(2π)
  }
};

// x/2 (1 + tanh(v/2)) = x sigmoid(v), v = √(8/π) (x + 0.044715 x³).
template <class T>
struct TanhGELU {
  static constexpr const char* name = "gelu_tanh";
  static constexpr bool FROM_OUTPUT = false;
  static constexpr double LINEAR = 1.5957691216057307118, CUBIC = 0.044715 * LINEAR;
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return not_far_left(x) * sigmoid(argument(x)); }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>& given, const Lanes<T>&) const {
    const Lanes<T> x = not_far(given);
    const Logistic<T> f(argument(x));
    const Lanes<T> slope = fma(x * x, Lanes<T>(T(3 * CUBIC)), Lanes<T>(T(LINEAR)));
    return fma(x * slope, f.below * f.above, f.below);
  }

 private:
  static CONVPROP_INLINE Lanes<T> argument(const Lanes<T>& x) { return x * fma(x * x, Lanes<T>(T(CUBIC)), Lanes<T>(T(LINEAR))); }
};

// x sigmoid(x), f' = sigmoid(x) (1 + x (1 - sigmoid(x))).
template <class T>
struct SiLU {
  static constexpr const char* name = "silu";
  static constexpr bool FROM_OUTPUT = false;
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return not_far_left(x) * sigmoid(x); }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>& x, const Lanes<T>&) const {
    const Logistic<T> f(x);
    return f.below * fma(not_far(x), f.above, Lanes<T>(T(1)));
  }
};

// x tanh(log(1 + exp(x))) = x N / D, with e = exp(-|x|) N = 1 + 2e for x above 0, else e (2 + e), and
// D = N + 2e² or N + 2; f' = (N + 4x e (1 + e) k / D) / D, k = e or 1.
template <class T>
struct Mish {
  static constexpr const char* name = "mish";
  static constexpr bool FROM_OUTPUT = false;
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const {
    const Parts p(x);
    return not_far_left(x) * (p.above / p.below);
  }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>& x, const Lanes<T>&) const {
    const Parts p(x);
    const Lanes<T> e = p.e * p.k, rest = Lanes<T>(T(4)) * not_far(x) * fma(e, p.e, e);
    return (p.above + rest / p.below) / p.below;
  }

 private:
  struct Parts {
    Lanes<T> e, k, above, below;
    CONVPROP_INLINE explicit Parts(const Lanes<T>& x) {
      const Lanes<T> one = T(1), two = T(2);
      e = exp(-abs(x));
      const IntLanes<T> positive = x > Lanes<T>(T(0));
      k = select(positive, e, one);
      above = select(positive, fma(two, e, one), e * (two + e));
      below = fma(two * k, k, above);
    }
  };
};

// x times the hard sigmoid. At the corners -3 and 3 the slopes are those outside, 0 and 1.
template <class T>
struct HardSwish {
  static constexpr const char* name = "hard_swish";
  static constexpr bool FROM_OUTPUT = false;
  CONVPROP_INLINE Lanes<T> forward(const Lanes<T>& x) const { return not_far_left(x) * HardSigmoid<T>().forward(x); }
  CONVPROP_INLINE Lanes<T> derivative(const Lanes<T>& x, const Lanes<T>&) const {
    const Lanes<T> three = T(3), inside = fma(x, Lanes<T>(T(1.0 / 3)), Lanes<T>(T(0.5)));
    return select(x <= -three, Lanes<T>(T(0)), select(x < three, inside, select(x == x, Lanes<T>(T(1)), x)));
  }
};

// The activations that there are.
template <class T>
using Activations = std::variant<Identity<T>, ReLU<T>, LeakyReLU<T>, Sigmoid<T>, Tanh<T>, ScaledTanh<T>, Softplus<T>, ReLU6<T>, ELU<T>,
                                 SELU<T>, HardSigmoid<T>, Softsign<T>, GELU<T>, TanhGELU<T>, SiLU<T>, Mish<T>, HardSwish<T>>;

// One of them, over maps. What has a body for each type is compiled once, in activation.cc.
template <class T>
class ActivationLayer {
 public:
  ActivationLayer() = default;  // the identity
  explicit ActivationLayer(const Description& description) : f_(named<Activations<T>>(description, "activation")) {}

  bool identity() const { return std::holds_alternative<Identity<T>>(f_); }
  bool from_output() const {
    return known([](const auto& f) { return f.FROM_OUTPUT; });
  }

  // body(f), with f of its own type.
  template <class Body>
  CONVPROP_INLINE auto known(const Body& body) const {
    return std::visit(body, f_);
  }
  // The same for a body with much in it besides: f has its own type where that is most often asked for,
  // and is called for each vector where not, since every type costs the compiler the whole body.
  template <class Body>
  CONVPROP_INLINE void inlined(const Body& body) const {
    if (identity()) return body(Identity<T>());
    if (const auto* f = std::get_if<ReLU<T>>(&f_)) return body(*f);
    body(Called{*this});
  }

  void forward(const T* x, T* o, ptrdiff_t pixels) const {
    const auto* relu = std::get_if<ReLU<T>>(&f_);
    relu ? forward(*relu, x, o, pixels) : forward_any(x, o, pixels);
  }

  // May write over delta itself. Added: to what delta_in holds. Of one that is FROM_OUTPUT, o may stand
  // for x as well.
  void input_delta(const T* delta, const T* x, const T* o, T* delta_in, ptrdiff_t pixels, bool added = false) const {
    const auto* relu = std::get_if<ReLU<T>>(&f_);
    relu ? input_delta(*relu, delta, x, o, delta_in, pixels, added) : input_delta_any(delta, x, o, delta_in, pixels, added);
  }

  void forward(const Maps<T>& x, const Maps<T>& o, int block, Range channels) const {
    rows(o, channels, [&](int c, int i, ptrdiff_t pixels) { forward(x.at(block, c, i, 0), o.at(block, c, i, 0), pixels); },
         x.whole() && o.whole());
  }

  void input_delta(const Maps<T>& delta, const Maps<T>& x, const Maps<T>& o, const Maps<T>& delta_in, int block, Range channels,
                   bool added = false) const {
    rows(o, channels,
         [&](int c, int i, ptrdiff_t pixels) {
           input_delta(delta.at(block, c, i, 0), x.at(block, c, i, 0), o.at(block, c, i, 0), delta_in.at(block, c, i, 0), pixels, added);
         },
         delta.whole() && x.whole() && o.whole() && delta_in.whole());
  }

  // The same for image n of maps whose pixels are single numbers. Whole vectors are written: what
  // they leave behind the rows, clear_margins() puts right (image_conv.h).
  void forward_image(const Maps<T>& x, const Maps<T>& o, int n, Range channels) const {
    chunks(o, channels, [&](int c, int i, int j) { forward(x.at(n, c, i, j), o.at(n, c, i, j), 1); });
  }

  void input_delta_image(const Maps<T>& delta, const Maps<T>& x, const Maps<T>& o, int n, const Maps<T>& delta_in, int n_in) const {
    chunks(delta, {0, delta.C}, [&](int c, int i, int j) {
      input_delta(delta.at(n, c, i, j), x.at(n, c, i, j), o.at(n, c, i, j), delta_in.at(n_in, c, i, j), 1);
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

  template <class F>
  static void forward(const F& f, const T* x, T* o, ptrdiff_t pixels) {
    for (ptrdiff_t p = 0; p < pixels; p++) f.forward(Lanes<T>::load(x + p * LANES)).store(o + p * LANES);
  }
  void forward_any(const T* x, T* o, ptrdiff_t pixels) const;

  template <class F>
  static void input_delta(const F& f, const T* delta, const T* x, const T* o, T* delta_in, ptrdiff_t pixels, bool added) {
    for (ptrdiff_t p = 0; p < pixels; p++) {
      const Lanes<T> back = Lanes<T>::load(delta + p * LANES) * f.derivative(Lanes<T>::load(x + p * LANES), Lanes<T>::load(o + p * LANES));
      (added ? Lanes<T>::load(delta_in + p * LANES) + back : back).store(delta_in + p * LANES);
    }
  }
  void input_delta_any(const T* delta, const T* x, const T* o, T* delta_in, ptrdiff_t pixels, bool added) const;

  struct Called {
    const ActivationLayer& layer;
    Lanes<T> forward(const Lanes<T>& x) const;
    Lanes<T> derivative(const Lanes<T>& x, const Lanes<T>& o) const;
  };

  Activations<T> f_;
};

// f'(x) of one that is FROM_OUTPUT, by what it gave.
template <class F, class T>
CONVPROP_INLINE Lanes<T> slope(const F& f, const T* o) {
  const Lanes<T> value = Lanes<T>::load(o);
  return f.derivative(value, value);
}

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
    for (int b = blocks.begin; b < blocks.end; b++) layer.input_delta(v.delta(), v.in(), v.out(), v.delta_in(), b, at.share_of(v.gives.shape.C), v.added());
  }
  void forward_image(const Operands<T>& v, int n, Range maps, const Share&) const { layer.forward_image(v.in(), v.out(), n, maps); }
  void input_delta_image(const Operands<T>& v, int n, const Share&) const {
    layer.input_delta_image(v.delta(), v.in(), v.out(), n, v.delta_in(), n);
  }
};

}  // namespace convprop
