// The one inner loop of the engine: sums of products, a tile of them at a time.
//
//   x[k][p] = start[k] + sum over the taps t of w[t + k·w_kernel] · o[t + p·o_step]
//
// for a few kernels k and a few pixels p, each o and x a sixteen-lane value. Convolution and
// its input deltas (Eq. 7 and 17) and the three products of a dense layer are this sum with
// different strides, and no input is copied or padded for it. Every x is one chain of fused
// multiply-adds in the order of the taps, so neither the tile nor the machine shows in it; at
// its end 0 is added, or what x holds, which turns a -0 into 0, so neither do products with 0 that
// are left out.
#pragma once

#include <algorithm>

#include "maps/geometry.h"
#include "machine/lanes.h"

namespace convprop {

// Three nested loops over products, outermost first; strides in scalars.
struct Taps {
  ptrdiff_t count[3];
  ptrdiff_t o[3];
  ptrdiff_t w[3];

  // Loops of one turn go outside, so that the innermost one is long.
  Taps ordered() const {
    Taps t{{1, 1, 1}, {0, 0, 0}, {0, 0, 0}};
    int to = 2;
    for (int from = 2; from >= 0; from--)
      if (count[from] != 1) t.count[to] = count[from], t.o[to] = o[from], t.w[to] = w[from], to--;
    return t;
  }
};

template <class T>
struct Products {
  Taps taps;
  const T* o;
  ptrdiff_t o_step;
  const T* w;
  ptrdiff_t w_kernel;
  const T* start;  // one a kernel, or null for 0
  T* x;
  ptrdiff_t x_kernel;
  ptrdiff_t x_step;
  bool onward = false;  // from what x holds, not from start
  bool added = false;   // to what x holds, when it is made
};

// How many sums the registers hold, beside one weight and a row of pixels, and how they are
// shared out: by four to six pixels where there are as many, since a weight is then read once
// for all of them; else, or where a pixel takes several registers, by as many kernels as fill them.
template <class T>
struct Tile {
  static constexpr int SUMS = (VECTOR_REGISTERS == 32 ? 24 : 12) / Lanes<T>::PARTS;
  static constexpr int KERNELS = std::min(SUMS, 12);
  static constexpr int PIXELS = 6;
  static constexpr int pixels_beside(int kernels) { return std::clamp(SUMS / kernels, 1, PIXELS); }

  // Tiles that `kernels` are cut into beside so many pixels: so that they come out even if they can.
  static int kernel_tiles(int kernels, int pixels = PIXELS) {
    if (pixels < 4 || SUMS < 24) {
      const int most = SUMS < 24 ? KERNELS : std::min(KERNELS, SUMS / pixels);
      return lots(kernels, most);
    }
    const int sizes[][4] = {{4, 6, 5, 3}, {6, 5, 4, 3}};
    for (int size : sizes[pixels == 4])
      if (kernels % size == 0) return kernels / size;
    return lots(kernels, 4);
  }
};

template <class T, int K, int P, bool ADJACENT>
void product_tile(const Products<T>& a) {
  const Taps& t = a.taps;
  const ptrdiff_t o_step = ADJACENT ? LANES : a.o_step;
  Lanes<T> sum[K][P];
#pragma GCC unroll 12
  for (int k = 0; k < K; k++)
#pragma GCC unroll 8
    for (int p = 0; p < P; p++) {
      if (a.onward) sum[k][p] = Lanes<T>::load(a.x + k * a.x_kernel + p * a.x_step);
      else sum[k][p] = a.start ? a.start[k] : T(0);
    }
  // More than five kernels take a pointer for every three, with no visible tie between them: from one
  // alone, compilers work out ten addresses anew in each row of the window, for want of registers.
  constexpr int EACH = K <= 5 ? K : 3, POINTERS = (K + EACH - 1) / EACH;
  for (ptrdiff_t r = 0; r < t.count[0]; r++)
    for (ptrdiff_t s = 0; s < t.count[1]; s++) {
      const T* o = a.o + r * t.o[0] + s * t.o[1];
      const T* w[POINTERS];
#pragma GCC unroll 4
      for (int k = 0; k < POINTERS; k++) {
        w[k] = a.w + r * t.w[0] + s * t.w[1] + EACH * k * a.w_kernel;
        __asm__("" : "+r"(w[k]));
      }
      // The next row of the window: processors do not foresee these jumps.
      const T* next = a.o + (s + 1 < t.count[1] ? r * t.o[0] + (s + 1) * t.o[1] : (r + 1) * t.o[0]);
#pragma GCC unroll 8
      for (int p = 0; p < P; p++) __builtin_prefetch(next + p * o_step);
      for (ptrdiff_t u = 0; u < t.count[2]; u++, o += t.o[2]) {
        Lanes<T> pixel[P];
#pragma GCC unroll 8
        for (int p = 0; p < P; p++) pixel[p] = Lanes<T>::load(o + p * o_step);
#pragma GCC unroll 12
        for (int k = 0; k < K; k++) {
          const Lanes<T> weight = w[k / EACH][k % EACH * a.w_kernel];
#pragma GCC unroll 8
          for (int p = 0; p < P; p++) sum[k][p] = fma(weight, pixel[p], sum[k][p]);
        }
#pragma GCC unroll 4
        for (int k = 0; k < POINTERS; k++) w[k] += t.w[2];
      }
    }
  const auto finish = [&](const auto& to_add) {
#pragma GCC unroll 12
    for (int k = 0; k < K; k++)
#pragma GCC unroll 8
      for (int p = 0; p < P; p++) {
        T* x = a.x + k * a.x_kernel + p * a.x_step;
        (sum[k][p] + to_add(x)).store(x);
      }
  };
  if (a.added) finish([](const T* x) { return Lanes<T>::load(x); });
  else finish([](const T*) { return Lanes<T>(T(0)); });
}

template <class T>
using ProductTile = void (*)(const Products<T>&);

template <class T, bool ADJACENT, int K, int P>
constexpr ProductTile<T> product_tile_or_null() {
  if constexpr (K <= Tile<T>::KERNELS && P <= Tile<T>::pixels_beside(K)) return product_tile<T, K, P, ADJACENT>;
  else return nullptr;
}

// product_tiles<T, ADJACENT>[k - 1][p - 1]
template <class T, bool ADJACENT>
inline constexpr ProductTile<T> product_tiles[12][6] = {
#define CONVPROP_ROW(K)                                                                                   \
  {product_tile_or_null<T, ADJACENT, K, 1>(), product_tile_or_null<T, ADJACENT, K, 2>(),                  \
   product_tile_or_null<T, ADJACENT, K, 3>(), product_tile_or_null<T, ADJACENT, K, 4>(),                  \
   product_tile_or_null<T, ADJACENT, K, 5>(), product_tile_or_null<T, ADJACENT, K, 6>()}
    CONVPROP_ROW(1), CONVPROP_ROW(2), CONVPROP_ROW(3), CONVPROP_ROW(4),  CONVPROP_ROW(5),  CONVPROP_ROW(6),
    CONVPROP_ROW(7), CONVPROP_ROW(8), CONVPROP_ROW(9), CONVPROP_ROW(10), CONVPROP_ROW(11), CONVPROP_ROW(12)
#undef CONVPROP_ROW
};

// The sums for many kernels and pixels, in tiles of nearly equal size. Kernels are the inner
// loop, so that the inputs of a tile of pixels stay in the first-level cache.
template <class T>
void products(const Products<T>& all, int kernels, int pixels) {
  if (kernels < 1 || pixels < 1) return;
  Products<T> tile = all;
  tile.taps = all.taps.ordered();
  const int kernel_tiles = Tile<T>::kernel_tiles(kernels, pixels);
  const int widest = Tile<T>::pixels_beside(lots(kernels, kernel_tiles));
  const int pixel_tiles = lots(pixels, widest);
  const auto& tiles = all.o_step == LANES ? product_tiles<T, true> : product_tiles<T, false>;
  for (int pt = 0, p = 0; pt < pixel_tiles; pt++) {
    const int p_count = lots(pixels - p, pixel_tiles - pt);
    for (int kt = 0, k = 0; kt < kernel_tiles; kt++) {
      const int k_count = lots(kernels - k, kernel_tiles - kt);
      tile.o = all.o + p * all.o_step;
      tile.w = all.w + k * all.w_kernel;
      tile.start = all.start ? all.start + k : nullptr;
      tile.x = all.x + k * all.x_kernel + p * all.x_step;
      tiles[k_count - 1][p_count - 1](tile);
      k += k_count;
    }
    p += p_count;
  }
}

// Compiled once, in tiles.cc.
extern template void products<float>(const Products<float>&, int, int);
extern template void products<double>(const Products<double>&, int, int);

}  // namespace convprop
