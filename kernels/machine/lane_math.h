// exp, log, tanh, the normal distribution and their kin, lane by lane, from additions,
// multiplications, divisions and fma alone: the C library's own differ from machine to machine in the
// last bits.
//
// Error in units in the last place, where argument and result are normal numbers: exp and log
// below 2, the normal distribution below 6, the others below 5 (tests/test_lane_math.py measures
// them). Results under the smallest normal number are 0.
#pragma once

#include <iterator>
#include <limits>

#include "machine/lanes.h"

namespace convprop {

template <class T>
struct FloatFormat;
// ln 2 = LN2_HIGH + LN2_LOW, the first with so many zero bits at its end that n·LN2_HIGH is
// exact for every exponent n. *_TERMS: terms of each series, so many that the first one left
// out is below a quarter unit in the last place at the edge of its range. MILLS: P(s) of Normal, below.
template <>
struct FloatFormat<float> {
  static constexpr int MANTISSA = 23, BIAS = 127;
  static constexpr float LN2_HIGH = 0x1.62e4p-1f, LN2_LOW = 0x1.7f7d1cp-20f;
  static constexpr int EXP_TERMS = 8, LOG_TERMS = 4, LOG1P_TERMS = 7;
  static constexpr float MILLS[] = {
      0.336204003f,     0.165702222f,     0.0143986137f,    -0.018359209f,    -0.000233687969f,
      0.00336270185f,   -0.000982617026f, -0.000393322208f, 0.000435374803f,  -0.000103256383f,
      -9.34466174e-05f, 6.77269547e-05f,  7.32955601e-06f,  -1.24334612e-05f};
};
template <>
struct FloatFormat<double> {
  static constexpr int MANTISSA = 52, BIAS = 1023;
  static constexpr double LN2_HIGH = 0x1.62e42feep-1, LN2_LOW = 0x1.a39ef35793c76p-33;
  static constexpr int EXP_TERMS = 14, LOG_TERMS = 10, LOG1P_TERMS = 16;
  static constexpr double MILLS[] = {
      0.33620400244634119,     0.1657022211943906,      0.014398680172680627,    -0.018359180484473742,   -0.00023479841712939459,
      0.0033624535396917332,   -0.00097556208255114064, -0.00039255909221095741, 0.00041359950706721581,  -0.00010349568554825767,
      -5.7846668024648098e-05, 6.4274484592456374e-05,  -2.3026431240519391e-05, -4.8327612158271414e-06, 1.0848347302594348e-05,
      -6.3158924829628262e-06, 1.0283248824119111e-06,  1.5079807968086533e-06,  -1.5234016071079066e-06, 5.2446703990576387e-07,
      5.7072177198285559e-09,  5.5229519852976003e-08,  1.27269484634844e-07,    -4.0525641640370552e-07, 1.3124521106698851e-07,
      2.3645050932568814e-07,  -1.3695755180624589e-07, -6.0404501644632287e-08, 4.7136913031502548e-08,  6.1299509453147351e-09,
      -6.0986377297697149e-09};
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

// x = n · ln 2 + rest with n the whole number nearest x / ln 2, so |rest| <= ln 2 / 2.
template <class T>
struct Reduced {
  Lanes<T> n, rest;
  IntLanes<T> whole;  // n

  CONVPROP_INLINE explicit Reduced(const Lanes<T>& x) {
    using F = FloatFormat<T>;
    // Adding 1.5 · 2^MANTISSA rounds to a whole number and leaves it in the low bits.
    const Lanes<T> shift = T(1.5) * T(typename Lanes<T>::Int(1) << F::MANTISSA);
    const Lanes<T> shifted = fma(x, Lanes<T>(T(0x1.71547652b82fep0)), shift);
    n = shifted - shift;
    whole = bits_of(shifted) - bits_of(shift);
    rest = fma(n, Lanes<T>(-F::LN2_LOW), fma(n, Lanes<T>(-F::LN2_HIGH), x));
  }
};

// The Taylor series of exp from its term r^first on, divided by r^first.
template <class T>
CONVPROP_INLINE Lanes<T> exp_series(const Lanes<T>& r, int first) {
  Lanes<T> series = inverse_factorial<T>(FloatFormat<T>::EXP_TERMS - 1);
#pragma GCC unroll 16
  for (int i = FloatFormat<T>::EXP_TERMS - 2; i >= first; i--) series = fma(series, r, Lanes<T>(inverse_factorial<T>(i)));
  return series;
}

// exp(x) = 2^n · exp(r)
template <class T>
CONVPROP_INLINE Lanes<T> exp(const Lanes<T>& x) {
  using F = FloatFormat<T>;
  const Lanes<T> largest = T(F::BIAS + 1) * T(0x1.62e42fefa39efp-1);
  const Lanes<T> smallest = T(1 - F::BIAS) * T(0x1.62e42fefa39efp-1);
  const Reduced<T> a(select(x < smallest, smallest, select(x > largest, largest, x)));
  // 2^n in two factors: at the ends of the range it is no normal number itself.
  const IntLanes<T> half = a.whole >> 1;
  Lanes<T> y = exp_series(a.rest, 0) * power_of_two<T>(half) * power_of_two<T>(a.whole - half);
  y = select(x < smallest, Lanes<T>(T(0)), y);
  y = select(x > largest, Lanes<T>(std::numeric_limits<T>::infinity()), y);
  return select(x == x, y, x);
}

// exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1), for |x| <= 50. Near 0, where n is 0, and elsewhere
// nothing cancels: 2^n - 1 is exact or far larger than its rounding.
template <class T>
CONVPROP_INLINE Lanes<T> expm1(const Lanes<T>& x) {
  const Reduced<T> a(x);
  const Lanes<T> power = power_of_two<T>(a.whole), one = T(1);
  return fma(power, fma(a.rest * a.rest, exp_series(a.rest, 2), a.rest), power - one);
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

// log(1 + u) for 0 <= u <= 1: 2 artanh(d / 2) = d + 1/3 d³/4 + 1/5 d⁵/16 + ..., d = 2u / (2 + u).
template <class T>
CONVPROP_INLINE Lanes<T> log1p(const Lanes<T>& u) {
  const Lanes<T> d = (u + u) / (u + Lanes<T>(T(2))), square = d * d * Lanes<T>(T(0.25));
  Lanes<T> series = T(1.0 / (2 * FloatFormat<T>::LOG1P_TERMS - 1));
#pragma GCC unroll 16
  for (int i = FloatFormat<T>::LOG1P_TERMS - 2; i >= 1; i--) series = fma(series, square, Lanes<T>(T(1.0 / (2 * i + 1))));
  return fma(d, series * square, d);
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
  return from_bits<T>(bits_of(e / (e + Lanes<T>(T(2)))) | (bits_of(x) ^ bits_of(size)));
}

// log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)).
template <class T>
CONVPROP_INLINE Lanes<T> softplus(const Lanes<T>& x) {
  return max(x, Lanes<T>(T(0))) + log1p(exp(-abs(x)));
}

// 1 / (1 + exp(-x)) and 1 / (1 + exp(x)), the smaller one not as a difference from 1.
template <class T>
struct Logistic {
  Lanes<T> below, above;

  CONVPROP_INLINE explicit Logistic(const Lanes<T>& x) {
    const Lanes<T> one = T(1), e = exp(-abs(x)), larger = one / (one + e), smaller = e * larger;
    const IntLanes<T> positive = x > Lanes<T>(T(0));
    below = select(positive, larger, smaller), above = select(positive, smaller, larger);
  }
};

// The standard normal distribution: Φ(x), and exp(-x²/2), its density times √(2π). Of the tail
// Q(z) = 1 - Φ(z), z = |x|, exp(z²/2) Q(z) (Mills' ratio over √(2π)) is smooth for all z and falls like
// 1/z: it is t P(2t - 1) with t = 2 / (2 + z), which takes z = 0 ... ∞ to 1 ... 0. P is the Chebyshev
// interpolation at 80 nodes, in 80 digits, cut off where the terms left out add up to less than a
// quarter unit in the last place. Past 40 the tail is 0.
template <class T>
struct Normal {
  Lanes<T> x, below, bell;  // x no farther from 0 than 40

  CONVPROP_INLINE explicit Normal(const Lanes<T>& given) {
    const Lanes<T> limit = T(40), size = abs(given), z = select(size > limit, limit, size), one = T(1);
    x = from_bits<T>(bits_of(z) | (bits_of(given) ^ bits_of(size)));
    // z² = high + low, since the exponential makes of its rounding as many units as it has.
    const Lanes<T> high = z * z, low = fma(z, z, -high), half = T(-0.5), power = exp(high * half);
    bell = fma(power, low * half, power);
    const Lanes<T> two = T(2), t = two / (two + z), s = fma(two, t, -one);
    constexpr int TERMS = int(std::size(FloatFormat<T>::MILLS));
    Lanes<T> series = FloatFormat<T>::MILLS[TERMS - 1];
#pragma GCC unroll 32
    for (int i = TERMS - 2; i >= 0; i--) series = fma(series, s, Lanes<T>(FloatFormat<T>::MILLS[i]));
    const Lanes<T> tail = bell * (t * series);
    below = select(x > Lanes<T>(T(0)), one - tail, tail);
  }
};

}  // namespace convprop
