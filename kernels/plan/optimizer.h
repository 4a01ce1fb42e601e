// One step down the gradient, parameter by parameter; the formulas are those of PyTorch, and those of
// LARS and LAMB their papers'.
#pragma once

#include "machine/lanes.h"

namespace convprop {

enum class OptimizerKind { sgd, adam, adamw, rmsprop, adadelta, lars, lamb };

struct Optimizer {
  OptimizerKind kind = OptimizerKind::sgd;
  double momentum = 0, nesterov = 0, weight_decay = 0;  // sgd, rmsprop, lars
  double decoupled = 0;                                 // sgd
  double beta1 = 0.9, beta2 = 0.999;                    // adam, adamw, lamb
  double epsilon = 1e-8;
  double alpha = 0.99;   // rmsprop
  double rho = 0.9;      // adadelta
  double trust = 0.001;  // lars

  int slots() const { return kind == OptimizerKind::sgd || kind == OptimizerKind::lars ? 1 : 2; }
  // Whether a parameter's step goes by its norm and that of its change: see `measure`.
  bool adapts() const { return kind == OptimizerKind::lars || kind == OptimizerKind::lamb; }
};

// What multiplies the learning rate and the weight decay of one parameter.
struct Factors {
  double rate = 1, decay = 1;
};

// beta^t by squaring: the C library's pow differs from machine to machine.
inline double power(double beta, uint64_t t) {
  double result = 1;
  for (; t; t >>= 1, beta *= beta)
    if (t & 1) result *= beta;
  return result;
}

// One parameter, and what its optimizer keeps of it.
template <class T>
struct Descending {
  T* w;
  const T* g;
  T *state0, *state1;  // the second one null where there is one alone
};

// body(weight, gradient, first, second) for the vectors of [begin, end), and stores all but the
// gradient: the last few, with zeros behind them, too. Inlined, since only so do the body's constants
// stay in registers.
template <class T, class Body>
CONVPROP_INLINE void each_step(const Descending<T> of, ptrdiff_t begin, ptrdiff_t end, const Body& body) {
  using V = Lanes<T>;
  const bool two = of.state1 != nullptr;
  ptrdiff_t i = begin;
  for (; i + LANES <= end; i += LANES) {
    V weight = V::load(of.w + i), first = V::load(of.state0 + i), second = two ? V::load(of.state1 + i) : V(T(0));
    body(weight, V::load(of.g + i), first, second);
    weight.store(of.w + i);
    first.store(of.state0 + i);
    if (two) second.store(of.state1 + i);
  }
  if (i == end) return;
  T tail[4][LANES] = {};
  const size_t bytes = size_t(end - i) * sizeof(T);
  std::memcpy(tail[0], of.w + i, bytes);
  std::memcpy(tail[1], of.g + i, bytes);
  std::memcpy(tail[2], of.state0 + i, bytes);
  if (two) std::memcpy(tail[3], of.state1 + i, bytes);
  V weight = V::load(tail[0]), first = V::load(tail[2]), second = V::load(tail[3]);
  body(weight, V::load(tail[1]), first, second);
  weight.store(tail[0]);
  first.store(tail[2]);
  second.store(tail[3]);
  std::memcpy(of.w + i, tail[0], bytes);
  std::memcpy(of.state0 + i, tail[2], bytes);
  if (two) std::memcpy(of.state1 + i, tail[3], bytes);
}

// The direction of LAMB, by moments that have seen the gradient.
template <class T>
struct LambDirection {
  Lanes<T> decay, epsilon, mean, norm;

  LambDirection(const Optimizer& o, const Factors& factors, uint64_t t)
      : decay(T(o.weight_decay * factors.decay)),
        epsilon(T(o.epsilon)),
        mean(T(1 / (1 - power(o.beta1, t)))),
        norm(T(1 / __builtin_sqrt(1 - power(o.beta2, t)))) {}
  CONVPROP_INLINE Lanes<T> operator()(const Lanes<T>& weight, const Lanes<T>& first, const Lanes<T>& second) const {
    return fma(decay, weight, mean * first / fma(sqrt(second), norm, epsilon));
  }
};

// Sums of squares, of weights and of what they change by.
struct Squares {
  double weight = 0, change = 0;
};

// Of an optimizer that adapts, what its ratio is made of: of LARS the change is the gradient, of LAMB
// its direction, for which the moments see the gradient here. Each is a sum in lanes.
template <class T>
Squares measure(const Optimizer& o, const Factors& factors, uint64_t t, const Descending<T>& of, ptrdiff_t begin, ptrdiff_t end) {
  using V = Lanes<T>;
  const V beta2 = T(o.beta2), rest_of_beta1 = T(1 - o.beta1), rest_of_beta2 = T(1 - o.beta2);
  const LambDirection<T> direction(o, factors, t);
  V weights = T(0), changes = T(0);
  each_step(of, begin, end, [&](V& weight, const V& gradient, V& first, V& second) {
    V change = gradient;
    if (o.kind == OptimizerKind::lamb) {
      first = fma(rest_of_beta1, gradient - first, first);
      second = fma(rest_of_beta2, gradient * gradient, beta2 * second);
      change = direction(weight, first, second);
    }
    weights = fma(weight, weight, weights);
    changes = fma(change, change, changes);
  });
  return {sum_of_lanes(weights), sum_of_lanes(changes)};
}

// What multiplies the rate of a parameter of several axes, by the sums of squares of all of it.
inline double adapted(const Optimizer& o, const Factors& factors, const Squares& squares) {
  const double weight = __builtin_sqrt(squares.weight), change = __builtin_sqrt(squares.change);
  if (!(weight > 0 && change > 0)) return 1;
  if (o.kind == OptimizerKind::lamb) return weight / change;
  return o.trust * weight / __builtin_fma(o.weight_decay * factors.decay, weight, change);
}

// Updates w[begin, end) and its state from the gradient g; t counts steps from 1. The ratio is 1, or
// what `adapted` says.
template <class T>
void update(const Optimizer& o, double learning_rate, const Factors& factors, double ratio, uint64_t t, const Descending<T>& of,
            ptrdiff_t begin, ptrdiff_t end) {
  using V = Lanes<T>;
  learning_rate *= factors.rate * ratio;
  const double weight_decay = o.weight_decay * factors.decay;
  // 1 - beta is taken before rounding to T: 1 - T(0.999) would be 5e-5 off.
  const V decay = T(weight_decay), epsilon = T(o.epsilon), rate = T(learning_rate), momentum = T(o.momentum);
  const V alpha = T(o.alpha), rest_of_alpha = T(1 - o.alpha), rho = T(o.rho), rest_of_rho = T(1 - o.rho);
  const V beta2 = T(o.beta2), rest_of_beta1 = T(1 - o.beta1), rest_of_beta2 = T(1 - o.beta2);
  const V keep = T(1 - learning_rate * weight_decay);
  const V adam_rate = T(learning_rate / (1 - power(o.beta1, t)));
  const V adam_norm = T(1 / __builtin_sqrt(1 - power(o.beta2, t)));

  const bool decoupled = o.kind == OptimizerKind::adamw || o.decoupled != 0, nesterov = o.nesterov != 0;
  // What each rule does, in a loop of its own.
  const auto decayed = [&](V& weight, const V& gradient) {
    if (!decoupled) return fma(decay, weight, gradient);
    weight = weight * keep;
    return gradient;
  };
  switch (o.kind) {
    case OptimizerKind::sgd:
      return each_step(of, begin, end, [&](V& weight, const V& given, V& first, V&) {
        const V gradient = decayed(weight, given);
        first = fma(momentum, first, gradient);
        weight = fma(-rate, nesterov ? fma(momentum, first, gradient) : first, weight);
      });
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return each_step(of, begin, end, [&](V& weight, const V& given, V& first, V& second) {
        const V gradient = decayed(weight, given);
        first = fma(rest_of_beta1, gradient - first, first);
        second = fma(rest_of_beta2, gradient * gradient, beta2 * second);
        weight = weight - adam_rate * (first / fma(sqrt(second), adam_norm, epsilon));
      });
    case OptimizerKind::rmsprop:
      return each_step(of, begin, end, [&](V& weight, const V& given, V& first, V& second) {
        const V gradient = decayed(weight, given);
        first = fma(rest_of_alpha, gradient * gradient, alpha * first);
        second = fma(momentum, second, gradient / (sqrt(first) + epsilon));
        weight = fma(-rate, second, weight);
      });
    case OptimizerKind::adadelta:
      return each_step(of, begin, end, [&](V& weight, const V& given, V& first, V& second) {
        const V gradient = decayed(weight, given);
        first = fma(rest_of_rho, gradient * gradient, rho * first);
        const V change = sqrt(second + epsilon) / sqrt(first + epsilon) * gradient;
        second = fma(rest_of_rho, change * change, rho * second);
        weight = fma(-rate, change, weight);
      });
    case OptimizerKind::lars:
      return each_step(of, begin, end, [&](V& weight, const V& given, V& first, V&) {
        first = fma(rate, decayed(weight, given), momentum * first);
        weight = weight - first;
      });
    case OptimizerKind::lamb: {
      const LambDirection<T> direction(o, factors, t);
      return each_step(of, begin, end, [&](V& weight, const V&, V& first, V& second) {
        weight = fma(-rate, direction(weight, first, second), weight);
      });
    }
  }
}

}  // namespace convprop
