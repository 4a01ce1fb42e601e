// exp, log, tanh and their kin, lane by lane, from additions, multiplications, divisions
// and fma alone: the C library's own differ from machine to machine in the last bits.
//
// Error in units in the last place, for arguments whose result is a normal number: exp and
// log below 2, the others below 5 (tests/test_lane_math.py measures them). Results under
// the smallest normal number are 0.
#pragma once

#include <limits>

#include "lanes.h"

namespace convprop {

template <class T>
struct FloatFormat;
// ln 2 = LN2_HIGH + LN2_LOW, the first with so many zero bits at its end that n·LN2_HIGH is
// exact for every exponent n. *_TERMS: terms of each series, so many that the first one left
// out is below a quarter unit in the last place at the edge of its range.
template <>
struct FloatFormat<float> {
  static constexpr int MANTISSA = 23, BIAS = 127;
  static constexpr float LN2_HIGH = 0x1.62e4p-1f, LN2_LOW = 0x1.7f7d1cp-20f;
  static constexpr int EXP_TERMS = 8, EXPM1_TERMS = 11, LOG_TERMS = 4;
};
template <>
struct FloatFormat<double> {
  static constexpr int MANTISSA = 52, BIAS = 1023;
  static constexpr double LN2_HIGH = 0x1.62e42feep-1, LN2_LOW = 0x1.a39ef35793c76p-33;
  static constexpr int EXP_TERMS = 14, EXPM1_TERMS = 19, LOG_TERMS = 10;
};

template <class T>
constexpr T inverse_factorial(int n) {
  double product = 1;
  for (int i = 2; i <= n; i++) product *= i;
  return T(1 / product);
}

template <class T>
CONVPROP_INLINE Lanes<T> power_of_two(const IntLanes<T>& n) {
  using Int = typename Lanes<T>::Int;
  using F = FloatFormat<T>;
  return from_bits<T>((n + IntLanes<T>(Int(F::BIAS))) * IntLanes<T>(Int(1) << F::MANTISSA));
}

// exp(x) = 2^n · exp(r) with n the whole number nearest x / ln 2, so |r| <= ln 2 / 2, and
// exp(r) by its Taylor series.
template <class T>
CONVPROP_INLINE Lanes<T> exp(const Lanes<T>& x) {
  using Int = typename Lanes<T>::Int;
  using F = FloatFormat<T>;
  const Lanes<T> largest = T(F::BIAS + 1) * T(0x1.62e42fefa39efp-1);
  const Lanes<T> smallest = T(1 - F::BIAS) * T(0x1.62e42fefa39efp-1);
  const Lanes<T> inside = select(x < smallest, smallest, select(x > largest, largest, x));
  // Adding 1.5 · 2^MANTISSA rounds to a whole number and leaves it in the low bits.
  const Lanes<T> shift = T(1.5) * T(Int(1) << F::MANTISSA);
  const Lanes<T> shifted = fma(inside, Lanes<T>(T(0x1.71547652b82fep0)), shift);
  const Lanes<T> n = shifted - shift;
  const IntLanes<T> whole = bits_of(shifted) - bits_of(shift);
  const Lanes<T> r = fma(n, Lanes<T>(-F::LN2_LOW), fma(n, Lanes<T>(-F::LN2_HIGH), inside));
  Lanes<T> series = inverse_factorial<T>(F::EXP_TERMS - 1);
#pragma GCC unroll 16
  for (int i = F::EXP_TERMS - 2; i >= 0; i--) series = fma(series, r, Lanes<T>(inverse_factorial<T>(i)));
  // 2^n in two factors: at the ends of the range it is no normal number itself.
  const IntLanes<T> half = whole >> 1;
  Lanes<T> y = series * power_of_two<T>(half) * power_of_two<T>(whole - half);
  y = select(x < smallest, Lanes<T>(T(0)), y);
  y = select(x > largest, Lanes<T>(std::numeric_limits<T>::infinity()), y);
  return select(x == x, y, x);
}

// exp(x) - 1 without the cancellation near 0.
template <class T>
CONVPROP_INLINE Lanes<T> expm1(const Lanes<T>& x) {
  using F = FloatFormat<T>;
  Lanes<T> series = inverse_factorial<T>(F::EXPM1_TERMS + 1);
#pragma GCC unroll 32
  for (int i = F::EXPM1_TERMS; i >= 2; i--) series = fma(series, x, Lanes<T>(inverse_factorial<T>(i)));
  const Lanes<T> one = T(1);
  return select(abs(x) < one, fma(x * x, series, x), exp(x) - one);
}

// log(x) = e · ln 2 + log(1 + f), x = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2). With
// s = f / (2 + f), log(1 + f) = 2 artanh(s) = f - (f²/2 - s (f²/2 + R)),
// R = 2/3 s² + 2/5 s⁴ + ...: f itself is exact, and all the rest small beside it.
template <class T>
CONVPROP_INLINE Lanes<T> log(const Lanes<T>& x) {
  using Int = typename Lanes<T>::Int;
  using F = FloatFormat<T>;
  const IntLanes<T> root_half = bits_of(Lanes<T>(T(0x1.6a09e667f3bcdp-1)));
  const IntLanes<T> offset = bits_of(x) - root_half;
  const IntLanes<T> exponent = offset >> F::MANTISSA;
  const IntLanes<T> mantissa = offset & IntLanes<T>((Int(1) << F::MANTISSA) - 1);
  // A small whole number as a float: put it into the low bits of 1.5 · 2^MANTISSA, subtract that.
  const Lanes<T> shift = T(1.5) * T(Int(1) << F::MANTISSA);
  const Lanes<T> e = from_bits<T>(bits_of(shift) + exponent) - shift;
  const Lanes<T> f = from_bits<T>(mantissa + root_half) - Lanes<T>(T(1));
  const Lanes<T> s = f / (f + Lanes<T>(T(2)));
  const Lanes<T> s2 = s * s;
  Lanes<T> series = T(2.0 / (2 * F::LOG_TERMS + 1));
#pragma GCC unroll 16
  for (int i = F::LOG_TERMS - 1; i >= 1; i--) series = fma(series, s2, Lanes<T>(T(2.0 / (2 * i + 1))));
  const Lanes<T> half_square = Lanes<T>(T(0.5)) * f * f;
  const Lanes<T> small = fma(e, Lanes<T>(F::LN2_LOW), s * fma(series, s2, half_square));
  Lanes<T> y = fma(e, Lanes<T>(F::LN2_HIGH), f - (half_square - small));
  const T infinity = std::numeric_limits<T>::infinity();
  y = select(x < Lanes<T>(std::numeric_limits<T>::min()), Lanes<T>(-infinity), y);
  y = select(x < Lanes<T>(T(0)), Lanes<T>(std::numeric_limits<T>::quiet_NaN()), y);
  return select(x < Lanes<T>(infinity), y, x);
}

// log(1 + u) for u >= 0. The rounding of 1 + u is undone by the ratio of u to what was added.
template <class T>
CONVPROP_INLINE Lanes<T> log1p(const Lanes<T>& u) {
  const Lanes<T> one = T(1), sum = one + u, added = sum - one;
  return select(added == Lanes<T>(T(0)), u, log(sum) * (u / added));
}

template <class T>
CONVPROP_INLINE Lanes<T> sigmoid(const Lanes<T>& x) {
  const Lanes<T> one = T(1);
  return one / (one + exp(-x));
}

// tanh(|x|) = e / (e + 2) with e = exp(2|x|) - 1; past 25 it is 1 to the last bit.
template <class T>
CONVPROP_INLINE Lanes<T> tanh(const Lanes<T>& x) {
  const Lanes<T> size = abs(x), limit = T(25);
  const Lanes<T> bounded = select(size > limit, limit, size);
  const Lanes<T> e = expm1(bounded + bounded);
  const Lanes<T> y = e / (e + Lanes<T>(T(2)));
  return select(x < Lanes<T>(T(0)), -y, y);
}

// log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)).
template <class T>
CONVPROP_INLINE Lanes<T> softplus(const Lanes<T>& x) {
  return max(x, Lanes<T>(T(0))) + log1p(exp(-abs(x)));
}

}  // namespace convprop
