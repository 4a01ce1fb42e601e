// Mean and variance of many numbers without cancellation: row by row, and the rows merged.
//
// A row of n numbers is summed about one of its own, c, the middle one: s1 = Σ (x - c) and
// s2 = Σ (x - c)², each one chain from 0 in the numbers' own precision. Its mean is c + s1 / n, and its
// squares about the mean s2 - s1² / n: numbers of mean 1e4 and deviation 1 keep their variance as if
// their mean were 0, since neighbours are near one another and x - c is then exact. All from the ends of
// the rows on is float64: rows are merged one after the other by Chan, Golub and LeVeque, "Updating
// formulae and a pairwise algorithm for computing sample variances", 1979, Eq. 2.1.
#pragma once

#include "maps/layout.h"

namespace convprop {

// Lanes<T>, or Single<T>, in float64.
template <class Value>
using Wide = typename Value::template Of<double>;

template <class Wide>
struct Moments {
  double count = 0;
  Wide mean = 0.0, squares = 0.0;  // squares: Σ (x - mean)²

  void merge(const Moments& other) {
    if (count == 0) return void(*this = other);
    const double all = count + other.count;
    const Wide apart = other.mean - mean;
    squares = fma(apart * apart, Wide(count * other.count / all), squares + other.squares);
    mean = fma(apart, Wide(other.count / all), mean);
    count = all;
  }
};

// Of n numbers, from their sums about c.
template <class Value>
CONVPROP_INLINE Moments<Wide<Value>> moments_about(const Value& c, const Value& s1, const Value& s2, int n) {
  const Wide<Value> sum = converted<double>(s1), part = sum * Wide<Value>(1.0 / n), zero = 0.0;
  const Wide<Value> squares = fma(-sum, part, converted<double>(s2));
  // Rounding may take what is nearly 0 below it.
  return {double(n), converted<double>(c) + part, select(squares > zero, squares, zero)};
}

// So many rows have their sums at once: each is a chain, in which an addition waits for the one before.
template <class Value>
constexpr int rows_at_once() {
  return sizeof(Value) <= VECTOR_BYTES ? 4 : sizeof(Value) <= 2 * VECTOR_BYTES ? 2 : 1;
}

// body(i, ROWS) for some rows at once, ROWS being a constant, downwards.
template <class Value, class Body>
CONVPROP_INLINE void in_rows(int rows, const Body& body) {
  constexpr int MOST = rows_at_once<Value>();
  int i = 0;
  for (; i + MOST <= rows; i += MOST) body(i, std::integral_constant<int, MOST>());
  for (; i < rows; i++) body(i, std::integral_constant<int, 1>());
}

// Of map c of a block, or of an image, its rows merged downwards.
template <class Value, class T>
Moments<Wide<Value>> map_moments(const Maps<T>& o, int block, int c) {
  Moments<Wide<Value>> all;
  in_rows<Value>(o.H, [&](int i, auto rows) {
    constexpr int ROWS = decltype(rows)::value;
    const T* first = o.at(block, c, i, 0);
    Value shift[ROWS], s1[ROWS], s2[ROWS];
    for (int r = 0; r < ROWS; r++) shift[r] = Value::load(first + r * o.row + o.W / 2 * o.pixel), s1[r] = s2[r] = T(0);
    for (int j = 0; j < o.W; j++)
      for (int r = 0; r < ROWS; r++) {
        const Value apart = Value::load(first + r * o.row + j * o.pixel) - shift[r];
        s1[r] = s1[r] + apart;
        s2[r] = fma(apart, apart, s2[r]);
      }
    for (int r = 0; r < ROWS; r++) all.merge(moments_about(shift[r], s1[r], s2[r], o.W));
  });
  return all;
}

}  // namespace convprop
