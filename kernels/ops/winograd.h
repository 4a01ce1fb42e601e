// Convolution with a window of 3×3 and stride 1 by Winograd's minimal filtering F(2×2, 3×3):
// four outputs of a map from sixteen products a channel, where Eq. 7 takes thirty-six.
//
//   x = A^T [ sum over c of u[c] ∘ v[c] ] A + b,   u = G w G^T,   v = B^T o B
//
// for each tile of 2×2 outputs x, with the 4×4 inputs o under it and the weights w:
//
//         1  0 -1  0          1   0   0          1  0
//   B^T = 0  1  1  0     G =  ½   ½   ½     A =  1  1
//         0 -1  1  0          ½  -½   ½          1 -1
//         0  1  0 -1          0   0   1          0 -1
//
// An input delta is the same with the rotated kernels (Eq. 22); a weight gradient is the
// transposed map, dw = G^T [ sum over the tiles of (A δ A^T) ∘ v ] G. Sources: S. Winograd,
// "Arithmetic Complexity of Computations" (1980); A. Lavin and S. Gray, "Fast Algorithms for
// Convolutional Neural Networks" (2015).
//
// Order of the sums: a transform runs over rows, then columns, three terms as (first ± second) ±
// third, G's as (first + third) ± second; the products of a place over c, or over k for an input
// delta; a weight gradient's over strips of TILES tiles in row order, in each over tiles, then
// images. Blocks follow one another, and groups are added by a tree as in conv.h.
#pragma once

#include "ops/image_conv.h"

namespace convprop {

template <class T>
struct Winograd {
  const ConvLayer<T>& layer;

  static constexpr int PLACES = 16;  // of a transformed tile, row by row
  static constexpr int TILES = 8;    // whose products are summed at once: what they take stays in the cache

  static bool supports(const ConvLayer<T>& layer) {
    const Window& window = layer.window;
    bool fits = layer.groups == 1;
    for (int axis = 0; axis < 2; axis++) fits = fits && window.size[axis] == 3 && window.stride[axis] == 1 && window.dilation[axis] == 1;
    return fits;
  }

  // Numbers of u, of the sums of a weight gradient, and of a thread's room to work in.
  ptrdiff_t kernel_lanes() const { return (layer.K + LANES - 1) / LANES * LANES; }
  ptrdiff_t transformed_size() const { return ptrdiff_t(PLACES) * layer.K * layer.C; }
  ptrdiff_t gradient_size() const { return ptrdiff_t(PLACES) * layer.C * kernel_lanes(); }
  ptrdiff_t room() const { return 2 * PLACES * Places{nullptr, std::max(ptrdiff_t(layer.C), kernel_lanes()) * TILES}.apart(); }

  // u[place][k][c]
  void transform_weights(const T* w, T* u, Range kernels) const {
    constexpr int TAPS = 9;
    for (int k = kernels.begin; k < kernels.end; k++)
      for (int c = 0; c < layer.C; c += LANES) {
        const int count = std::min(LANES, layer.C - c);
        const T* from = w + (ptrdiff_t(k) * layer.C + c) * TAPS;
        // Sixteen numbers from each channel's nine on, as far as they are w's.
        const bool inside = count == LANES && (ptrdiff_t(k) * layer.C + c + LANES) * TAPS + (LANES - TAPS) <= layer.weights();
        Lanes<T> taps[LANES];
        if (inside) {
#pragma GCC unroll 16
          for (int l = 0; l < LANES; l++) taps[l] = Lanes<T>::load(from + l * TAPS);
        } else {
          alignas(VECTOR_BYTES) T padded[LANES][LANES] = {};
          for (int l = 0; l < count; l++) std::copy_n(from + l * TAPS, TAPS, padded[l]);
          for (int l = 0; l < LANES; l++) taps[l] = Lanes<T>::load(padded[l]);
        }
        transpose(taps);
        const auto g = [&](int m, int n) { return taps[layer.flip ? TAPS - 1 - 3 * m - n : 3 * m + n]; };
        Lanes<T> half[4][3], whole[4][4];
        for (int n = 0; n < 3; n++) {
          half[0][n] = g(0, n), half[3][n] = g(2, n);
          half[1][n] = middle(g(0, n), g(1, n), g(2, n)), half[2][n] = middle(g(0, n), -g(1, n), g(2, n));
        }
        for (int i = 0; i < 4; i++) {
          whole[i][0] = half[i][0], whole[i][3] = half[i][2];
          whole[i][1] = middle(half[i][0], half[i][1], half[i][2]), whole[i][2] = middle(half[i][0], -half[i][1], half[i][2]);
        }
        T* to = u + ptrdiff_t(k) * layer.C + c;
        for (int e = 0; e < PLACES; e++, to += ptrdiff_t(layer.K) * layer.C) {
          alignas(VECTOR_BYTES) T made[LANES];
          whole[e / 4][e % 4].store(count == LANES ? to : made);
          if (count < LANES) std::copy_n(made, count, to);
        }
      }
  }

  // Eq. 7 and the activation of Eq. 8, as ConvLayer::forward.
  void forward(const Maps<T>& o, const T* u, const T* b, const Maps<T>& x, int block, Range kernels, const ActivationLayer<T>& activation,
               T* room) const {
    const Window& window = layer.window;
    const Tiling tiling{layer.Ho, layer.Wo};
    for (int first = 0; first < tiling.count(); first += TILES) {
      const Strip strip{first, std::min(TILES, tiling.count() - first)};
      const Places v{room, ptrdiff_t(layer.C) * strip.tiles}, m{room + PLACES * v.apart(), ptrdiff_t(layer.K) * strip.tiles};
      transform_maps(o, block, layer.C, {-window.before[0], layer.H + window.after[0]}, window.before[0], window.before[1], tiling, strip, v);
      multiply(v, u, false, m, strip.tiles, kernels);
      for (int k = kernels.begin; k < kernels.end; k++) {
        const Lanes<T> bias = b ? b[k] : T(0);
        activation.inlined([&](const auto& f) {
          transform_back(m, k, tiling, strip, [&](int i, int j, const Lanes<T>& y) { f.forward(y + bias).store(x.at(block, k, i, j)); });
        });
      }
    }
  }

  // Eq. 17, as ConvLayer::input_delta.
  void input_delta(const Maps<T>& delta, const T* u, const Maps<T>& delta_in, int block, Range channels,
                   const ActivationLayer<T>& activation, const Maps<T>& o, T* room, bool added = false) const {
    const Tiling tiling{layer.H, layer.W};
    for (int first = 0; first < tiling.count(); first += TILES) {
      const Strip strip{first, std::min(TILES, tiling.count() - first)};
      const Places v{room, ptrdiff_t(layer.K) * strip.tiles}, m{room + PLACES * v.apart(), ptrdiff_t(layer.C) * strip.tiles};
      transform_maps(delta, block, layer.K, {0, layer.Ho}, 2 - layer.window.before[0], 2 - layer.window.before[1], tiling, strip, v);
      multiply(v, u, true, m, strip.tiles, channels);
      for (int c = channels.begin; c < channels.end; c++)
        if (added)
          transform_back(m, c, tiling, strip, [&](int i, int j, const Lanes<T>& y) {
            T* to = delta_in.at(block, c, i, j);
            (Lanes<T>::load(to) + y).store(to);
          });
        else
          activation.inlined([&](const auto& f) {
            transform_back(m, c, tiling, strip, [&](int i, int j, const Lanes<T>& y) {
              T* to = delta_in.at(block, c, i, j);
              if constexpr (std::is_same_v<std::decay_t<decltype(f)>, Identity<T>>) y.store(to);
              else {
                const Lanes<T> value = Lanes<T>::load(o.at(block, c, i, j));
                (y * f.derivative(value, value)).store(to);
              }
            });
          });
    }
  }

  // Eq. 13 in du[place][c][k], the kernels in the lanes: the block's sums for some sixteens of
  // kernels, from 0 if it is the first and else from what du holds.
  void weight_gradient(const Maps<T>& o, const Maps<T>& delta, T* du, bool first_block, int block, Range vectors, T* room) const {
    const Window& window = layer.window;
    const Tiling tiling{layer.Ho, layer.Wo};
    const ptrdiff_t lanes = kernel_lanes();
    for (int first = 0; first < tiling.count(); first += TILES) {
      const Strip strip{first, std::min(TILES, tiling.count() - first)};
      const Places v{room, ptrdiff_t(layer.C) * strip.tiles}, errors{room + PLACES * v.apart(), lanes * strip.tiles};
      transform_maps(o, block, layer.C, {-window.before[0], layer.H + window.after[0]}, window.before[0], window.before[1], tiling, strip, v);
      for (int k = vectors.begin; k < vectors.end; k++) transform_errors(delta, block, k * LANES, tiling, strip, errors);
      for (int e = 0; e < PLACES; e++) {
        // The images of all tiles, one after the other, are the terms.
        Products<T> sums;
        sums.taps = {{1, 1, ptrdiff_t(strip.tiles) * LANES}, {0, 0, lanes}, {0, 0, 1}};
        sums.o = errors.of(e) + vectors.begin * LANES;
        sums.o_step = LANES;
        sums.w = v.of(e);
        sums.w_kernel = ptrdiff_t(strip.tiles) * LANES;
        sums.start = nullptr;
        sums.onward = !first_block || first > 0;
        sums.x = du + ptrdiff_t(e) * layer.C * lanes + vectors.begin * LANES;
        sums.x_kernel = lanes;
        sums.x_step = LANES;
        products(sums, layer.C, vectors.end - vectors.begin);
      }
    }
  }

  // The sums of groups by a tree, into the first one's.
  void add_groups(T* const* du, int groups, Range kernels) const {
    for (int apart = 1; apart < groups; apart *= 2)
      for (int g = 0; g + apart < groups; g += 2 * apart)
        for (ptrdiff_t row = 0; row < ptrdiff_t(PLACES) * layer.C; row++) {
          T* to = du[g] + row * kernel_lanes();
          const T* from = du[g + apart] + row * kernel_lanes();
          for (int k = kernels.begin; k < kernels.end; k++) to[k] += from[k];
        }
  }

  // dw = G^T du G
  void gradient(const T* du, T* dw, Range kernels) const {
    const auto first = [](T a, T b, T c) { return a + (b + c) * T(0.5); };
    const auto second = [](T b, T c) { return (b - c) * T(0.5); };
    const ptrdiff_t lanes = kernel_lanes();
    for (int c = 0; c < layer.C; c++)
      for (int k = kernels.begin; k < kernels.end; k++) {
        const auto d = [&](int i, int j) { return du[(ptrdiff_t(4 * i + j) * layer.C + c) * lanes + k]; };
        T rows[3][4];
        for (int j = 0; j < 4; j++) {
          rows[0][j] = first(d(0, j), d(1, j), d(2, j));
          rows[1][j] = second(d(1, j), d(2, j));
          rows[2][j] = first(d(3, j), d(1, j), d(2, j));
        }
        for (int m = 0; m < 3; m++) {
          const T* r = rows[m];
          dw[layer.weight_at(k, c, m, 0)] = first(r[0], r[1], r[2]);
          dw[layer.weight_at(k, c, m, 1)] = second(r[1], r[2]);
          dw[layer.weight_at(k, c, m, 2)] = first(r[3], r[1], r[2]);
        }
      }
  }

  // forward() for image n of maps whose pixels are single numbers: sixteen tiles of a row in the
  // lanes. From the right and downwards, as in image_conv.h.
  void forward_image(const Maps<T>& o, const T* u, const T* b, const Maps<T>& x, int n, Range kernels,
                     const ActivationLayer<T>& activation, T* room) const {
    const Window& window = layer.window;
    const int down = (layer.Ho + 1) / 2, width = 2 * LANES;
    for (int left = (layer.Wo - 1) / width * width; left >= 0; left -= width)
      for (int first = 0; first < down; first += TILES) {
        const Strip strip{first, std::min(TILES, down - first)};
        const Places v{room, ptrdiff_t(layer.C) * strip.tiles}, m{room + PLACES * v.apart(), ptrdiff_t(layer.K) * strip.tiles};
        for (int c = 0; c < layer.C; c++)
          for (int t = 0; t < strip.tiles; t++) {
            Lanes<T> tile[4][4];
            for (int i = 0; i < 4; i++) {
              const int row = 2 * (first + t) + i - window.before[0];
              const T* from = row < layer.H + window.after[0] ? o.at(n, c, row, left - window.before[1]) : zeros;
              for (int j = 0; j < 4; j += 2) {
                tile[i][j] = Lanes<T>::load(from + j), tile[i][j + 1] = Lanes<T>::load(from + j + LANES);
                deinterleave(tile[i][j], tile[i][j + 1], std::make_integer_sequence<int, Lanes<T>::WIDTH>());
              }
            }
            transform_tile(tile, v.of(0) + (ptrdiff_t(c) * strip.tiles + t) * LANES, v.apart());
          }
        multiply(v, u, false, m, strip.tiles, kernels);
        for (int k = kernels.begin; k < kernels.end; k++) {
          const Lanes<T> bias = b ? b[k] : T(0);
          activation.inlined([&](const auto& f) {
            for (int t = 0; t < strip.tiles; t++) {
              Lanes<T> y[2][2];
              transform_products(m.of(0) + (ptrdiff_t(k) * strip.tiles + t) * LANES, m.apart(), y);
              for (int i = 0; i < 2 && 2 * (first + t) + i < layer.Ho; i++) {
                Lanes<T> even = f.forward(y[i][0] + bias), odd = f.forward(y[i][1] + bias);
                interleave(even, odd, std::make_integer_sequence<int, Lanes<T>::WIDTH>());
                T* to = x.at(n, k, 2 * (first + t) + i, left);
                even.store(to);
                if (left + LANES < layer.Wo) odd.store(to + LANES);
              }
            }
          });
        }
      }
  }

 private:
  static constexpr T zeros[4 * LANES] = {};

  // Tiles of 2×2 that cover a map, numbered by rows.
  struct Tiling {
    int height, width;
    int across() const { return (width + 1) / 2; }
    int count() const { return (height + 1) / 2 * across(); }
  };
  struct Strip {
    int first, tiles;
  };

  // Sixteen arrays of so many vectors, one for each place of a tile. They lie an odd number of
  // vectors apart, so that those of one tile are in different sets of the cache.
  struct Places {
    T* data;
    ptrdiff_t vectors;
    ptrdiff_t apart() const { return (vectors | 1) * LANES; }
    T* of(int e) const { return data + e * apart(); }
  };

  static CONVPROP_INLINE Lanes<T> middle(const Lanes<T>& a, const Lanes<T>& b, const Lanes<T>& c) { return ((a + c) + b) * Lanes<T>(T(0.5)); }

  template <class Body>
  static void each_tile(const Tiling& tiling, const Strip& strip, const Body& body) {
    int i = strip.first / tiling.across(), j = strip.first % tiling.across();
    for (int t = 0; t < strip.tiles; t++) {
      body(t, 2 * i, 2 * j);
      if (++j == tiling.across()) j = 0, i++;
    }
  }

  // B^T tile B, to the places `apart` numbers apart.
  static CONVPROP_INLINE void transform_tile(const Lanes<T> (&tile)[4][4], T* v, ptrdiff_t apart) {
    Lanes<T> rows[4][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
      rows[0][j] = tile[0][j] - tile[2][j], rows[1][j] = tile[1][j] + tile[2][j];
      rows[2][j] = tile[2][j] - tile[1][j], rows[3][j] = tile[1][j] - tile[3][j];
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++, v += 4 * apart) {
      (rows[i][0] - rows[i][2]).store(v);
      (rows[i][1] + rows[i][2]).store(v + apart);
      (rows[i][2] - rows[i][1]).store(v + 2 * apart);
      (rows[i][1] - rows[i][3]).store(v + 3 * apart);
    }
  }

  // A^T m A
  static CONVPROP_INLINE void transform_products(const T* m, ptrdiff_t apart, Lanes<T> (&y)[2][2]) {
    Lanes<T> rows[2][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
      const Lanes<T> one = Lanes<T>::load(m + (4 + j) * apart), two = Lanes<T>::load(m + (8 + j) * apart);
      rows[0][j] = (Lanes<T>::load(m + j * apart) + one) + two;
      rows[1][j] = (one - two) - Lanes<T>::load(m + (12 + j) * apart);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) y[i][0] = (rows[i][0] + rows[i][1]) + rows[i][2], y[i][1] = (rows[i][1] - rows[i][2]) - rows[i][3];
  }

  // v[place][c][tile] of all maps; the tile of outputs (i, j) begins at o[i - top][j - left]. There
  // is something to read in `rows` alone. What the last tile reaches beyond the map in columns, or
  // in rows, only outputs beyond it depend on.
  static void transform_maps(const Maps<T>& o, int block, int maps, Range rows, int top, int left, const Tiling& tiling, const Strip& strip,
                             const Places& v) {
    for (int c = 0; c < maps; c++)
      each_tile(tiling, strip, [&](int t, int i, int j) {
        const bool narrow = j + 1 == tiling.width;
        Lanes<T> tile[4][4];
#pragma GCC unroll 4
        for (int p = 0; p < 4; p++) {
          const int row = i + p - top;
          const T* from = row < rows.begin || row >= rows.end ? zeros : o.at(block, c, row, j - left);
#pragma GCC unroll 4
          for (int q = 0; q < 4; q++) tile[p][q] = Lanes<T>::load(q == 3 && narrow ? zeros : from + q * LANES);
        }
        transform_tile(tile, v.of(0) + (ptrdiff_t(c) * strip.tiles + t) * LANES, v.apart());
      });
  }

  // m[place][k][tile] = sum over c of u[place][k][c] · v[place][c][tile] for the kernels of a range;
  // or, rotated, over k for the channels of one. To rotate w by 180 degrees is to exchange the
  // first and the last, of rows and of columns, in u.
  void multiply(const Places& v, const T* u, bool rotated, const Places& m, int tiles, Range maps) const {
    constexpr int turned[4] = {3, 1, 2, 0};
    for (int e = 0; e < PLACES; e++) {
      const int place = rotated ? 4 * turned[e / 4] + turned[e % 4] : e;
      const ptrdiff_t next[2] = {layer.C, 1};  // kernel, channel
      Products<T> sums;
      sums.taps = {{1, 1, rotated ? layer.K : layer.C}, {0, 0, ptrdiff_t(tiles) * LANES}, {0, 0, next[!rotated]}};
      sums.o = v.of(e);
      sums.o_step = LANES;
      sums.w = u + ptrdiff_t(place) * layer.K * layer.C + maps.begin * next[rotated];
      sums.w_kernel = next[rotated];
      sums.start = nullptr;
      sums.x = m.of(e) + ptrdiff_t(maps.begin) * tiles * LANES;
      sums.x_kernel = ptrdiff_t(tiles) * LANES;
      sums.x_step = LANES;
      products(sums, maps.end - maps.begin, tiles);
    }
  }

  // put(i, j, y) for the outputs of map k that lie within it.
  template <class Put>
  static void transform_back(const Places& m, int k, const Tiling& tiling, const Strip& strip, const Put& put) {
    each_tile(tiling, strip, [&](int t, int i, int j) {
      Lanes<T> y[2][2];
      transform_products(m.of(0) + (ptrdiff_t(k) * strip.tiles + t) * LANES, m.apart(), y);
      const bool low = i + 1 < tiling.height, wide = j + 1 < tiling.width;
      put(i, j, y[0][0]);
      if (wide) put(i, j + 1, y[0][1]);
      if (low) put(i + 1, j, y[1][0]);
      if (low && wide) put(i + 1, j + 1, y[1][1]);
    });
  }

  // errors[place][tile][image][kernel] = A δ A^T of sixteen kernels from k on, which lie in the lanes;
  // δ is zero beyond the map.
  void transform_errors(const Maps<T>& delta, int block, int k, const Tiling& tiling, const Strip& strip, const Places& errors) const {
    const ptrdiff_t lanes = kernel_lanes(), apart = errors.apart();
    const int kernels = std::min(LANES, layer.K - k);
    each_tile(tiling, strip, [&](int t, int i, int j) {
      Lanes<T> pixel[4][LANES];
#pragma GCC unroll 4
      for (int q = 0; q < 4; q++) {
        const int row = i + q / 2, column = j + q % 2, there = row < tiling.height && column < tiling.width ? kernels : 0;
        Lanes<T> square[LANES];
#pragma GCC unroll 16
        for (int l = 0; l < LANES; l++) square[l] = Lanes<T>::load(l < there ? delta.at(block, k + l, row, column) : zeros);
        transpose(square);
#pragma GCC unroll 16
        for (int l = 0; l < LANES; l++) pixel[q][l] = square[l];
      }
      for (int l = 0; l < LANES; l++) {
        const Lanes<T> a = pixel[0][l], b = pixel[1][l], c = pixel[2][l], d = pixel[3][l];
        const Lanes<T> rows[4][2] = {{a, b}, {a + c, b + d}, {a - c, b - d}, {-c, -d}};
        T* to = errors.of(0) + (ptrdiff_t(t) * LANES + l) * lanes + k;
#pragma GCC unroll 4
        for (int p = 0; p < 4; p++, to += 4 * apart) {
          rows[p][0].store(to);
          (rows[p][0] + rows[p][1]).store(to + apart);
          (rows[p][0] - rows[p][1]).store(to + 2 * apart);
          (-rows[p][1]).store(to + 3 * apart);
        }
      }
    });
  }
};

// A convolution that was asked for by this algorithm.
template <class T>
struct WinogradOp : BlockConvolutionOp<T> {
  static constexpr bool GAINS_BY_IMAGE = true;
  using Base = BlockConvolutionOp<T>;
  using Base::layer, Base::dw, Base::db;
  T *transformed = nullptr, *weight_sum = nullptr;  // its weights, and their gradient; dw is of the transformed tiles

  static bool takes(const Description& description, const Way& way) {
    return description.kind() == "conv" && description.word("algorithm") == "winograd" && (!way.by_image || way.mode == Mode::predict);
  }
  WinogradOp(const Description& description, const Shape& in, const Way&) : Base(description, in) {
    if (!Winograd<T>::supports(layer)) description.refuse("Winograd's algorithm is for windows of 3 by 3 without stride, dilation and groups");
  }

  ptrdiff_t scratch(Mode) const { return Winograd<T>{layer}.room(); }
  void place(const Memory& memory, bool delta_is_given) {
    const Winograd<T> winograd{layer};
    transformed = memory.take<T>(winograd.transformed_size());
    if (!memory.trains()) return;
    this->place_delta(memory, delta_is_given);
    this->place_sums(memory, winograd.gradient_size());
    if (this->trains_weights) weight_sum = memory.take<T>(layer.weights());
  }
  T* gradient(int parameter) const { return parameter == 0 ? weight_sum : db[0]; }

  void prepare(const Operands<T>& v, int thread, int threads) const {
    Winograd<T>{layer}.transform_weights(v.parameters[0], transformed, share(layer.K, thread, threads));
  }
  void forward(const Operands<T>& v, Range blocks, const Share& at) const {
    for (int block = blocks.begin; block < blocks.end; block++)
      Winograd<T>{layer}.forward(v.in(), transformed, this->b(v), v.out(), block, at.share_of(layer.K), this->activation, v.scratch);
  }
  void forward_image(const Operands<T>& v, int n, Range maps, const Share&) const {
    Winograd<T>{layer}.forward_image(v.in(), transformed, this->b(v), v.out(), n, maps, this->activation, v.scratch);
  }
  // Sixteen kernels go together.
  void weight_gradient(const Operands<T>& v, Range blocks, const Share& at) const {
    const Winograd<T> winograd{layer};
    this->add_to_bias(this->x_delta(v), at, blocks.begin, at.share_of(layer.K));
    if (!this->trains_weights) return;
    const Range vectors = at.share_of(int(winograd.kernel_lanes() / LANES));
    winograd.weight_gradient(v.in(), this->x_delta(v), dw[at.group], at.first_of_group, blocks.begin, vectors, v.scratch);
  }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    Winograd<T>{layer}.input_delta(this->x_delta(v), transformed, v.delta_in(), blocks.begin, at.share_of(layer.C), through(v), v.in(), v.scratch,
                                    v.added());
  }
  Range gather(int parameter, const Step& step, int thread, int threads) const {
    if (parameter == 1) return this->gather_bias(step.groups.count(), thread, threads);
    const Winograd<T> winograd{layer};
    const Range kernels = share(layer.K, thread, threads);
    winograd.add_groups(dw.data(), step.groups.count(), kernels);
    winograd.gradient(dw[0], weight_sum, kernels);
    const int each = int(layer.weights() / layer.K);
    return {kernels.begin * each, kernels.end * each};
  }
};

}  // namespace convprop
