// The sums of products.h where they have one kernel alone, as in a depthwise convolution:
//
//   x[i][p] = start + sum over c, m, n of w[c][m][n] · o[c][S·i + m][S·p + n]
//
// One kernel's sums fill the registers only if several rows are taken at once; then a pixel that is
// loaded serves all of them that it belongs to. The compiler knows the window and the stride, and so
// every place in a tile. Each x is the same chain of multiply-adds as in products.h, to the bit; so is
// each sum of a weight gradient, over the pixels row by row, with all weights of a window at once.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "maps/geometry.h"
#include "machine/lanes.h"

namespace convprop {

// Rows and pixels of the first tile on which the strides go: with those of o and x negative, rows
// and pixels count from the far corner, as an input delta asks for.
template <class T>
struct WindowProducts {
  int turns;  // of c, at least one
  const T* o;
  ptrdiff_t o_channel, o_row;
  const T* w;
  ptrdiff_t w_channel, w_row, w_column;
  const T* start;  // null for 0
  T* x;
  ptrdiff_t x_row, x_step;
  int rows, pixels;
  Range there;         // rows of o that there are, from the one at o on; the others are left out
  bool added = false;  // to what x holds, when it is made
};

// Rows at once, and pixels of each: eight sums or more, which hide the latency of two multiply-add units.
inline constexpr int WINDOW_ROWS = 2, WINDOW_PIXELS = 4;
// Of those windows that there are tiles of.
inline constexpr int MOST_WINDOW_WEIGHTS = 25;

// Whether a line of the cache begins with this part of the lanes.
template <class T>
constexpr bool begins_line(int part) {
  return part * Lanes<T>::WIDTH * sizeof(T) % 64 == 0;
}

template <class Part, class T>
CONVPROP_INLINE Part load_part(const T* from) {
  Part part;
  std::memcpy(&part, from, sizeof part);
  return part;
}

// M × N the window, S the stride; FORTH the pixel of o that follows: 1, or -1 where o goes backwards.
template <class T, int M, int N, int S, int FORTH>
struct WindowTiles {
  using Part = typename Lanes<T>::Part;

  // R rows of P pixels.
  template <int R, int P>
  static CONVPROP_INLINE void tile(const WindowProducts<T>& a, const T* o, T* x) {
    for (int part = 0; part < Lanes<T>::PARTS; part++, o += Lanes<T>::WIDTH, x += Lanes<T>::WIDTH) {
      Part sum[R][P];
#pragma GCC unroll 4
      for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int p = 0; p < P; p++) sum[i][p] = Lanes<T>(a.start ? *a.start : T(0)).part[0];
      // What the next rows read that these do not: it is asked for a row ahead.
      if (begins_line<T>(part))
#pragma GCC unroll 4
        for (int r = 0; r < R * S; r++)
#pragma GCC unroll 8
          for (int q = 0; q < P * S; q++) __builtin_prefetch(o + (FORTH > 0 ? (R - 1) * S + M + r : -1 - r) * a.o_row + FORTH * q * LANES);
      int c = 0;
      do {
        const T* w = a.w + c * a.w_channel;
#pragma GCC unroll 16
        for (int r = 0; r < (R - 1) * S + M; r++) {
          if (r < a.there.begin || r >= a.there.end) continue;
          const T* row = o + c * a.o_channel + r * a.o_row;
#pragma GCC unroll 8
          for (int n = 0; n < N; n++)
#pragma GCC unroll 4
            for (int i = 0; i < R; i++) {
              const int m = r - i * S;
              if (m < 0 || m >= M) continue;
              const Part weight = Lanes<T>(w[m * a.w_row + n * a.w_column]).part[0];
#pragma GCC unroll 4
              for (int p = 0; p < P; p++)
                sum[i][p] = (Part)fma_part(weight, load_part<Part>(row + FORTH * (p * S + n) * LANES), sum[i][p]);
            }
        }
      } while (++c < a.turns);
#pragma GCC unroll 4
      for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int p = 0; p < P; p++) {
          T* to = x + i * a.x_row + p * a.x_step;
          const Part total = sum[i][p] + (a.added ? load_part<Part>(to) : Part{});
          std::memcpy(to, &total, sizeof total);
        }
    }
  }

  template <int R>
  static void row(const WindowProducts<T>& a) {
    const T* o = a.o;
    T* x = a.x;
    int p = 0;
    const auto take = [&]<int P>(std::integral_constant<int, P>) {
      for (; p + P <= a.pixels; p += P, o += FORTH * P * S * LANES, x += P * a.x_step) tile<R, P>(a, o, x);
    };
    take(std::integral_constant<int, WINDOW_PIXELS>());
    take(std::integral_constant<int, 2>());
    take(std::integral_constant<int, 1>());
  }

  static void rows(const WindowProducts<T>& a) { a.rows == WINDOW_ROWS ? row<WINDOW_ROWS>(a) : row<1>(a); }
};

// One or two rows.
template <class T>
using WindowRows = void (*)(const WindowProducts<T>&);

// Null for windows that there are no tiles of.
template <class T>
WindowRows<T> window_rows(int m, int n, int stride) {
#define CONVPROP_WINDOW(M, N, S) \
  if (m == M && n == N && stride == S) return WindowTiles<T, M, N, S, 1>::rows;
  CONVPROP_WINDOW(3, 3, 1) CONVPROP_WINDOW(3, 3, 2) CONVPROP_WINDOW(5, 5, 1) CONVPROP_WINDOW(5, 5, 2)
#undef CONVPROP_WINDOW
  return nullptr;
}

// The same from the far corner: whole windows, and what a stride of 2 leaves of them for a phase.
template <class T>
WindowRows<T> window_rows_back(ptrdiff_t m, ptrdiff_t n) {
#define CONVPROP_WINDOW(M, N) \
  if (m == M && n == N) return WindowTiles<T, M, N, 1, -1>::rows;
  CONVPROP_WINDOW(1, 1) CONVPROP_WINDOW(1, 2) CONVPROP_WINDOW(2, 1) CONVPROP_WINDOW(2, 2) CONVPROP_WINDOW(2, 3)
  CONVPROP_WINDOW(3, 2) CONVPROP_WINDOW(3, 3) CONVPROP_WINDOW(5, 5)
#undef CONVPROP_WINDOW
  return nullptr;
}

// sum[m][n] += sum over i, j of delta[i][j] · o[S·i + m][S·j + n], from 0 if there is none yet.
template <class T>
struct WindowGradient {
  const T* o;
  ptrdiff_t o_row;
  const T* delta;
  ptrdiff_t delta_row;
  int rows, columns;
  bool first;
  Lanes<T>* sum;
};

template <class T, int M, int N, int S>
struct WindowGradients {
  using Part = typename Lanes<T>::Part;
  // Rows of the window at once: as many as there are registers for their sums.
  static constexpr int AT_ONCE = std::min(M, (VECTOR_REGISTERS == 32 ? 25 : 10) / N);
  // Pixels at once: where registers are left, one that is loaded serves several columns of the window.
  static constexpr int PIXELS = VECTOR_REGISTERS == 32 && AT_ONCE * N < 16 ? 4 : 1;

  template <int G, int P>
  static CONVPROP_INLINE void pixels(const WindowGradient<T>& a, const T* o, const T* delta, bool ask, Part (&total)[G][N]) {
    __asm__("" : "+r"(o));  // else compilers carry pixels on in registers that there are not, and so in memory
    // What the next row reads that this one does not.
#pragma GCC unroll 4
    for (int p = 0; p < P && ask; p++) {
      __builtin_prefetch(delta + a.delta_row + p * LANES);
#pragma GCC unroll 2
      for (int r = 0; r < S; r++)
#pragma GCC unroll 2
        for (int q = 0; q < S; q++) __builtin_prefetch(o + (G + r) * a.o_row + (p * S + q) * LANES);
    }
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) {
      const Part error = load_part<Part>(delta + p * LANES);
#pragma GCC unroll 8
      for (int m = 0; m < G; m++)
#pragma GCC unroll 8
        for (int n = 0; n < N; n++)
          total[m][n] = (Part)fma_part(error, load_part<Part>(o + m * a.o_row + (p * S + n) * LANES), total[m][n]);
    }
  }

  // G rows of the window from row m on.
  template <int G>
  static void window(const WindowGradient<T>& a, int m) {
    for (int part = 0; part < Lanes<T>::PARTS; part++) {
      Lanes<T>* sum = a.sum + m * N;
      Part total[G][N];
#pragma GCC unroll 8
      for (int g = 0; g < G; g++)
#pragma GCC unroll 8
        for (int n = 0; n < N; n++) total[g][n] = a.first ? Part{} : sum[g * N + n].part[part];
      const bool ask = m + G == M && begins_line<T>(part);
      for (int i = 0; i < a.rows; i++) {
        const T* o = a.o + (ptrdiff_t(i) * S + m) * a.o_row + part * Lanes<T>::WIDTH;
        const T* delta = a.delta + i * a.delta_row + part * Lanes<T>::WIDTH;
        int j = 0;
        for (; j + PIXELS <= a.columns; j += PIXELS, o += PIXELS * S * LANES, delta += PIXELS * LANES) pixels<G, PIXELS>(a, o, delta, ask, total);
        if constexpr (PIXELS > 1)
          for (; j < a.columns; j++, o += S * LANES, delta += LANES) pixels<G, 1>(a, o, delta, ask, total);
      }
#pragma GCC unroll 8
      for (int g = 0; g < G; g++)
#pragma GCC unroll 8
        for (int n = 0; n < N; n++) sum[g * N + n].part[part] = total[g][n];
    }
  }

  static void add(const WindowGradient<T>& a) {
    int m = 0;
    for (; m + AT_ONCE <= M; m += AT_ONCE) window<AT_ONCE>(a, m);
    if constexpr (M % AT_ONCE != 0) window<M % AT_ONCE>(a, m);
  }
};

// Null for windows that there are none of.
template <class T>
void (*window_gradient(int m, int n, int stride))(const WindowGradient<T>&) {
#define CONVPROP_WINDOW(M, N, S) \
  if (m == M && n == N && stride == S) return WindowGradients<T, M, N, S>::add;
  CONVPROP_WINDOW(3, 3, 1) CONVPROP_WINDOW(3, 3, 2) CONVPROP_WINDOW(5, 5, 1) CONVPROP_WINDOW(5, 5, 2)
#undef CONVPROP_WINDOW
  return nullptr;
}

// Compiled once, in tiles.cc.
extern template WindowRows<float> window_rows<float>(int, int, int);
extern template WindowRows<double> window_rows<double>(int, int, int);
extern template WindowRows<float> window_rows_back<float>(ptrdiff_t, ptrdiff_t);
extern template WindowRows<double> window_rows_back<double>(ptrdiff_t, ptrdiff_t);
extern template void (*window_gradient<float>(int, int, int))(const WindowGradient<float>&);
extern template void (*window_gradient<double>(int, int, int))(const WindowGradient<double>&);

}  // namespace convprop
