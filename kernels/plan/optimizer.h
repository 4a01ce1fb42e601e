// One step down the gradient, parameter by parameter; the formulas are those of PyTorch.
#pragma once

#include "machine/lanes.h"

namespace convprop {

enum class OptimizerKind { sgd, adam, adamw, rmsprop, adadelta };

struct Optimizer {
  OptimizerKind kind = OptimizerKind::sgd;
  double momentum = 0, nesterov = 0, weight_decay = 0;  // sgd, rmsprop
  double beta1 = 0.9, beta2 = 0.999;                    // adam, adamw
  double epsilon = 1e-8;
  double alpha = 0.99;  // rmsprop
  double rho = 0.9;     // adadelta

  int slots() const { return kind == OptimizerKind::sgd ? 1 : 2; }
};

// beta^t by squaring: the C library's pow differs from machine to machine.
inline double power(double beta, uint64_t t) {
  double result = 1;
  for (; t; t >>= 1, beta *= beta)
    if (t & 1) result *= beta;
  return result;
}

// Updates w[begin, end) and its state from the gradient g; t counts steps from 1.
template <class T>
void update(const Optimizer& o, double learning_rate, uint64_t t, T* w, const T* g, T* state0, T* state1, ptrdiff_t begin,
            ptrdiff_t end) {
  using V = Lanes<T>;
  // 1 - beta is taken before rounding to T: 1 - T(0.999) would be 5e-5 off.
  const V decay = T(o.weight_decay), epsilon = T(o.epsilon), rate = T(learning_rate), momentum = T(o.momentum);
  const V alpha = T(o.alpha), rest_of_alpha = T(1 - o.alpha), rho = T(o.rho), rest_of_rho = T(1 - o.rho);
  const V beta2 = T(o.beta2), rest_of_beta1 = T(1 - o.beta1), rest_of_beta2 = T(1 - o.beta2);
  const V keep = T(1 - learning_rate * o.weight_decay);
  const V adam_rate = T(learning_rate / (1 - power(o.beta1, t)));
  const V adam_norm = T(1 / __builtin_sqrt(1 - power(o.beta2, t)));

  const auto step = [&](V& weight, V gradient, V& first, V& second) {
    if (o.kind == OptimizerKind::adamw) weight = weight * keep;
    else gradient = fma(decay, weight, gradient);
    switch (o.kind) {
      case OptimizerKind::sgd:
        first = fma(momentum, first, gradient);
        weight = fma(-rate, o.nesterov != 0 ? fma(momentum, first, gradient) : first, weight);
        break;
      case OptimizerKind::adam:
      case OptimizerKind::adamw:
        first = fma(rest_of_beta1, gradient - first, first);
        second = fma(rest_of_beta2, gradient * gradient, beta2 * second);
        weight = weight - adam_rate * (first / fma(sqrt(second), adam_norm, epsilon));
        break;
      case OptimizerKind::rmsprop:
        first = fma(rest_of_alpha, gradient * gradient, alpha * first);
        second = fma(momentum, second, gradient / (sqrt(first) + epsilon));
        weight = fma(-rate, second, weight);
        break;
      case OptimizerKind::adadelta: {
        first = fma(rest_of_rho, gradient * gradient, rho * first);
        const V change = sqrt(second + epsilon) / sqrt(first + epsilon) * gradient;
        second = fma(rest_of_rho, change * change, rho * second);
        weight = fma(-rate, change, weight);
        break;
      }
    }
  };

  const bool two = o.slots() == 2;
  ptrdiff_t i = begin;
  for (; i + LANES <= end; i += LANES) {
    V weight = V::load(w + i), first = V::load(state0 + i), second = two ? V::load(state1 + i) : V(T(0));
    step(weight, V::load(g + i), first, second);
    weight.store(w + i);
    first.store(state0 + i);
    if (two) second.store(state1 + i);
  }
  if (i == end) return;
  // The last few, in a value of their own with zeros behind them.
  T tail[4][LANES] = {};
  const size_t bytes = size_t(end - i) * sizeof(T);
  std::memcpy(tail[0], w + i, bytes);
  std::memcpy(tail[1], g + i, bytes);
  std::memcpy(tail[2], state0 + i, bytes);
  if (two) std::memcpy(tail[3], state1 + i, bytes);
  V weight = V::load(tail[0]), first = V::load(tail[2]), second = V::load(tail[3]);
  step(weight, V::load(tail[1]), first, second);
  weight.store(tail[0]);
  first.store(tail[2]);
  second.store(tail[3]);
  std::memcpy(w + i, tail[0], bytes);
  std::memcpy(state0 + i, tail[2], bytes);
  if (two) std::memcpy(state1 + i, tail[3], bytes);
}

}  // namespace convprop
