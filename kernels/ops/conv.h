// Convolution, Eq. 4-7 and 10-22, over one block of sixteen images.
//
// Inputs have their padding and deltas their halo written round them (geometry.h), so no
// loop has an edge case. Weights are w[K][C / groups][k1][k2]; with `flip` the window is turned by
// 180 degrees first (Eq. 6, a true convolution), else it is the cross-correlation of Eq. 7.
//
// Order of the sums: forward starts from the bias and runs over c, m, n; an input delta
// starts from 0 and runs over k, m, n; a weight gradient runs over i, j in each lane, then
// adds the lanes by halves (sum_of_lanes). m and n count positions in the window.
#pragma once

#include <numeric>

#include "maps/products.h"
#include "maps/window_products.h"
#include "ops/activation.h"
#include "ops/groups.h"

namespace convprop {

template <class T>
struct ConvLayer {
  int C, H, W;     // of the input
  int K, Ho, Wo;   // of the output
  Window window;
  int groups = 1;
  bool flip = false;

  ConvLayer(int channels, int height, int width, int kernels, const Window& window_, int groups_, bool flip_)
      : C(channels), H(height), W(width), K(kernels), window(within(window_, {height, width})), groups(groups_), flip(flip_) {
    if (C < 1 || K < 1 || groups < 1 || C % groups || K % groups)
      throw std::invalid_argument("groups must divide the channels and the kernels");
    Ho = output_size(window, 0, H);
    Wo = output_size(window, 1, W);
    check_size("a convolution's padded input", {C, window.padded(0, H), window.padded(1, W)});
    check_size("a convolution's output", {K, Ho, Wo});
    check_size("a convolution's weights", {K, channels_each(), window.size[0], window.size[1]});
  }
  ConvLayer(const Description& description, const Shape& in)
      : ConvLayer(in.C, in.H, in.W, description.integer("kernels"), dilated_window(description), description.integer("groups"),
                  description.flag("flip_kernel")) {}

  int channels_each() const { return C / groups; }
  int kernels_each() const { return K / groups; }
  int window_weights() const { return window.size[0] * window.size[1]; }
  ptrdiff_t weights() const { return ptrdiff_t(K) * channels_each() * window_weights(); }

  // Where w[k][c][m][n] lies: position (m, n) of the window counts from the far end when flipped.
  ptrdiff_t weight_at(int k, int c, ptrdiff_t m, ptrdiff_t n) const {
    const ptrdiff_t place = m * window.size[1] + n;
    return (ptrdiff_t(k) * channels_each() + c) * window_weights() + (flip ? window_weights() - 1 - place : place);
  }
  int direction() const { return flip ? -1 : 1; }

  // x[k][i][j] = b[k] + sum over c, m, n of w[k][c][m][n] · o[c][i+m][j+n]   (Eq. 7)
  // followed at once, row by row while it is in the cache, by the activation of Eq. 8.
  void forward(const Maps<T>& o, const T* w, const T* b, const Maps<T>& x, int block, Range kernels,
               const ActivationLayer<T>& activation) const {
    if (const auto rows = few(kernels_each()) ? window_rows<T>(window.size[0], window.size[1], one_stride()) : nullptr)
      return forward_alone(rows, o, w, b, x, block, kernels, activation);
    if (short_rows() && seamless(o) && seamless(x))
      return each_run(K, [&](const ConvLayer& run, ptrdiff_t first) {
        run.forward(behind(o, first), w, b, behind(x, first), block, kernels, activation);
      });
    for (int g = kernels.begin / kernels_each(); g * kernels_each() < kernels.end; g++) {
      const int k0 = std::max(kernels.begin, g * kernels_each()), k1 = std::min(kernels.end, (g + 1) * kernels_each());
      for (int i = 0; i < Ho; i++) {
        Products<T> row;
        row.taps = {{channels_each(), window.size[0], window.size[1]},
                    {o.channel, window.dilation[0] * o.row, ptrdiff_t(window.dilation[1]) * LANES},
                    {window_weights(), direction() * window.size[1], direction()}};
        row.o = o.at(block, g * channels_each(), i * window.stride[0] - window.before[0], -window.before[1]);
        row.o_step = ptrdiff_t(window.stride[1]) * LANES;
        row.w = w + weight_at(k0, 0, 0, 0);
        row.w_kernel = ptrdiff_t(channels_each()) * window_weights();
        row.start = b ? b + k0 : nullptr;
        row.x = x.at(block, k0, i, 0);
        row.x_kernel = x.channel;
        row.x_step = LANES;
        products(row, k1 - k0, Wo);
        if (!activation.identity())
          for (int k = k0; k < k1; k++) activation.forward(x.at(block, k, i, 0), x.at(block, k, i, 0), Wo);
      }
    }
  }

  // The window positions m whose product reaches input row i': those where s divides
  // i' + before - m·d. They lie `step` apart, and each is `rows` output rows above the last.
  struct Phase {
    ptrdiff_t first, count, step, rows;
  };

  Phase phase(int axis, int position) const {
    const ptrdiff_t s = window.stride[axis], d = window.dilation[axis], u = ptrdiff_t(position) + window.before[axis];
    const ptrdiff_t step = s / std::gcd(s, d), size = window.size[axis];
    for (ptrdiff_t m = 0; m < std::min(step, size); m++)
      if ((u - m * d) % s == 0) return {m, (size - m + step - 1) / step, step, d / std::gcd(s, d)};
    return {0, 0, step, 1};
  }

  // So many pixels of a row of one phase, and the window positions whose products reach any of
  // them from within the map. Near the edges, where not all do, pixels are taken in pairs.
  struct Stretch {
    int pixels;
    Range taps;
  };

  Stretch stretch_of(const Phase& columns, ptrdiff_t left, int first, int pixels) const {
    const ptrdiff_t step = columns.rows;
    const auto floor_of = [](ptrdiff_t a, ptrdiff_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); };
    const auto taps_of = [&](int begin, int end) {
      return Range{int(std::max(ptrdiff_t(0), floor_of(left + begin - (Wo - 1) + step - 1, step))),
                   int(std::min(columns.count, floor_of(left + end - 1, step) + 1))};
    };
    const auto all = [&](int begin, int end) {
      const Range taps = taps_of(begin, end);
      return taps.begin == 0 && taps.end == columns.count;
    };
    const int pair = std::min(2, pixels - first);
    if (!all(first, first + pair)) return {pair, taps_of(first, first + pair)};
    int end = first + pair;
    while (end < pixels && all(end, std::min(end + 2, pixels))) end = std::min(end + 2, pixels);
    return {end - first, taps_of(first, end)};
  }

  // delta_in[c][i'][j'] = sum over k, m, n of w[k][c][m][n] · delta[k][i'-m][j'-n]   (Eq. 17 and 19)
  // that is, the cross-correlation of the padded delta with the rotated kernel (Eq. 22). With a
  // stride, input pixels of one phase are a dense sum over the weights that reach them. Followed,
  // row by row, by f'(x) of the activation that made the input o (Eq. 19), where it is given; or
  // added to what delta_in holds.
  void input_delta(const Maps<T>& delta, const T* w, const Maps<T>& delta_in, int block, Range channels,
                   const ActivationLayer<T>& activation = {}, const Maps<T>& o = {}, bool added = false) const {
    if (few(channels_each()) && window_rows<T>(window.size[0], window.size[1], one_stride()))
      return input_delta_alone(delta, w, delta_in, block, channels, activation, o, added);
    if (short_rows() && seamless(delta) && seamless(delta_in) && (activation.identity() || seamless(o)))
      return each_run(C, [&](const ConvLayer& run, ptrdiff_t first) {
        run.input_delta(behind(delta, first), w, behind(delta_in, first), block, channels, activation, behind(o, first), added);
      });
    for (int g = channels.begin / channels_each(); g * channels_each() < channels.end; g++) {
      const Range own{std::max(channels.begin, g * channels_each()), std::min(channels.end, (g + 1) * channels_each())};
      for (int i = 0; i < H; i++) {
        input_delta_row(delta, w, delta_in, block, g, own, i, added);
        if (!activation.identity())
          for (int c = own.begin; c < own.end; c++)
            activation.input_delta(delta_in.at(block, c, i, 0), o.at(block, c, i, 0), o.at(block, c, i, 0), delta_in.at(block, c, i, 0), W);
      }
    }
  }

  // dw[k][c][m][n] += sum over i, j and the lanes of delta[k][i][j] · o[c][i+m][j+n]   (Eq. 13)
  void weight_gradient(const Maps<T>& o, const Maps<T>& delta, T* dw, int block, Range kernels) const;

  // db[k] += sum over i, j and the lanes of delta[k][i][j]; some kernels side by side, since each of
  // their sums waits for its last addition.
  void bias_gradient(const Maps<T>& delta, T* db, int block, Range kernels) const {
    constexpr int AT_ONCE = 4;
    for (int k = kernels.begin; k < kernels.end; k += AT_ONCE) {
      const T* map[AT_ONCE];
      Lanes<T> sum[AT_ONCE];
#pragma GCC unroll 4
      for (int q = 0; q < AT_ONCE; q++) map[q] = delta.at(block, std::min(k + q, kernels.end - 1), 0, 0), sum[q] = T(0);
      for (int i = 0; i < Ho; i++)
        for (ptrdiff_t j = i * delta.row; j < i * delta.row + ptrdiff_t(Wo) * LANES; j += LANES)
#pragma GCC unroll 4
          for (int q = 0; q < AT_ONCE; q++) sum[q] = sum[q] + Lanes<T>::load(map[q] + j);
      for (int q = 0; q < AT_ONCE && k + q < kernels.end; q++) db[k + q] += sum_of_lanes(sum[q]);
    }
  }

 private:
  static Window dilated_window(const Description& description) {
    Window window = window_of(description, "kernel_size");
    const auto dilation = description.integers<2>("dilation");
    window.dilation[0] = dilation[0], window.dilation[1] = dilation[1];
    return window;
  }

  // A window of one pixel without stride and padding knows no rows: maps that have no gaps between
  // theirs are one long row.
  bool of_pixels() const {
    return window_weights() == 1 && window.stride[0] == 1 && window.stride[1] == 1 && !input_halo(window).any();
  }
  static constexpr int SHORT_ROW = 24;  // four tiles of pixels
  // Short rows are cut into tiles of unequal sizes; one long row is not.
  bool short_rows() const { return of_pixels() && H > 1 && W < SHORT_ROW; }
  // As a layer of one row, runs of it whose results, so many maps, stay in the cache.
  template <class Body>
  void each_run(int maps, const Body& body) const {
    constexpr ptrdiff_t RUN_BYTES = 262144;
    const int length = int(std::max(RUN_BYTES / ptrdiff_t(maps * LANES * sizeof(T)), ptrdiff_t(SHORT_ROW))), runs = lots(H * W, length);
    ConvLayer run = *this;
    run.H = run.Ho = 1;
    for (int r = 0; r < runs; r++) {
      const Range pixels = share(H * W, r, runs);
      run.W = run.Wo = pixels.end - pixels.begin;
      body(run, pixels.begin);
    }
  }
  static bool seamless(const Maps<T>& maps) { return maps.row == ptrdiff_t(maps.W) * LANES; }
  static Maps<T> behind(Maps<T> maps, ptrdiff_t pixels) {
    maps.data += pixels * LANES;
    return maps;
  }

  // Whether so few kernels (going back: channels) of a group are better computed one by one, by the
  // tiles of window_products.h, than side by side.
  static bool few(int kernels) { return kernels <= 2; }
  // That of rows and columns alike; 0 where there is none, or gaps in the window.
  int one_stride() const {
    return window.dilation[0] == 1 && window.dilation[1] == 1 && window.stride[0] == window.stride[1] ? window.stride[0] : 0;
  }

  void forward_alone(WindowRows<T> rows, const Maps<T>& o, const T* w, const T* b, const Maps<T>& x, int block, Range kernels,
                     const ActivationLayer<T>& activation) const {
    for (int k = kernels.begin; k < kernels.end; k++)
      for (int i = 0; i < Ho; i += WINDOW_ROWS) {
        WindowProducts<T> some;
        some.turns = channels_each();
        some.o = o.at(block, k / kernels_each() * channels_each(), i * window.stride[0] - window.before[0], -window.before[1]);
        some.o_channel = o.channel, some.o_row = o.row;
        some.w = w + weight_at(k, 0, 0, 0);
        some.w_channel = window_weights(), some.w_row = direction() * window.size[1], some.w_column = direction();
        some.start = b ? b + k : nullptr;
        some.x = x.at(block, k, i, 0);
        some.x_row = x.row, some.x_step = LANES;
        some.rows = std::min(WINDOW_ROWS, Ho - i), some.pixels = Wo;
        some.there = {0, std::numeric_limits<int>::max()};
        rows(some);
        for (int r = i; r < i + some.rows && !activation.identity(); r++) activation.forward(x.at(block, k, r, 0), x.at(block, k, r, 0), Wo);
      }
  }

  // From the last pixel of each phase backwards: then the window goes forwards, as in forward_alone.
  void input_delta_alone(const Maps<T>& delta, const T* w, const Maps<T>& delta_in, int block, Range channels,
                         const ActivationLayer<T>& activation, const Maps<T>& o, bool added) const {
    const int stride = one_stride();
    for (int c = channels.begin; c < channels.end; c++)
      for (int first = 0; first < H; first += WINDOW_ROWS * stride) {
        for (int i = first; i < std::min(first + stride, H); i++) {
          const int count = std::min(WINDOW_ROWS, (H - 1 - i) / stride + 1), below = i + (count - 1) * stride, g = c / channels_each();
          const Phase rows = phase(0, i);
          const int top = int(below + window.before[0] - rows.first) / stride;
          for (int j = 0; j < std::min(stride, W); j++) {
            const Phase columns = phase(1, j);
            WindowProducts<T> some;
            some.rows = count, some.pixels = (W - 1 - j) / stride + 1;
            const int last = j + (some.pixels - 1) * stride;
            some.turns = kernels_each();
            some.o = delta.at(block, g * kernels_each(), top, int(last + window.before[1] - columns.first) / stride);
            some.o_channel = delta.channel, some.o_row = -delta.row;
            some.w = w + weight_at(g * kernels_each(), c - g * channels_each(), rows.first, columns.first);
            some.w_channel = ptrdiff_t(channels_each()) * window_weights();
            some.w_row = direction() * rows.step * window.size[1], some.w_column = direction() * columns.step;
            some.start = nullptr;
            some.x = delta_in.at(block, c, below, last);
            some.x_row = -stride * delta_in.row, some.x_step = -stride * LANES;
            some.there = {std::max(0, top - (Ho - 1)), top + 1};
            some.added = added;
            window_rows_back<T>(rows.count, columns.count)(some);
          }
        }
        for (int i = first; i < std::min(first + WINDOW_ROWS * stride, H) && !activation.identity(); i++)
          activation.input_delta(delta_in.at(block, c, i, 0), o.at(block, c, i, 0), o.at(block, c, i, 0), delta_in.at(block, c, i, 0), W);
      }
  }

  using WindowGradientOf = void (*)(const WindowGradient<T>&);
  void weight_gradient_alone(WindowGradientOf add, const Maps<T>& o, const Maps<T>& delta, T* dw, int block, Range kernels) const;

  // Row i of the input delta, for channels of one group.
  void input_delta_row(const Maps<T>& delta, const T* w, const Maps<T>& delta_in, int block, int group, Range channels, int i,
                       bool added) const {
    Phase rows = phase(0, i);
    ptrdiff_t top = (i + window.before[0] - rows.first * window.dilation[0]) / window.stride[0];
    // Rows of delta beyond the map are zero: leave them out.
    const ptrdiff_t below = std::max(ptrdiff_t(0), (top - (Ho - 1) + rows.rows - 1) / rows.rows);
    rows.count = std::min(rows.count - below, top < 0 ? 0 : top / rows.rows + 1 - below);
    rows.first += below * rows.step;
    top -= below * rows.rows;
    for (int j = 0; j < std::min(window.stride[1], W); j++) {
      const Phase columns = phase(1, j);
      // Exact where a window position is found; the floor never matters where none is.
      const ptrdiff_t left = (j + window.before[1] - columns.first * window.dilation[1]) / window.stride[1];
      const int pixels = (W - 1 - j) / window.stride[1] + 1;
      for (int p = 0; p < pixels;) {
        const Stretch stretch = stretch_of(columns, left, p, pixels);
        const int turns = rows.count > 0 && stretch.taps.begin < stretch.taps.end ? kernels_each() : 0;
        Products<T> row;
        row.taps = {{turns, rows.count, stretch.taps.end - stretch.taps.begin},
                    {delta.channel, -rows.rows * delta.row, -columns.rows * LANES},
                    {ptrdiff_t(channels_each()) * window_weights(), direction() * rows.step * window.size[1], direction() * columns.step}};
        row.o = delta.at(block, group * kernels_each(), top, left + p - stretch.taps.begin * columns.rows);
        row.o_step = LANES;
        row.w = w + weight_at(group * kernels_each(), channels.begin - group * channels_each(), rows.first, columns.first + stretch.taps.begin * columns.step);
        row.w_kernel = window_weights();
        row.start = nullptr;
        row.added = added;
        row.x = delta_in.at(block, channels.begin, i, j + p * window.stride[1]);
        row.x_kernel = delta_in.channel;
        row.x_step = ptrdiff_t(window.stride[1]) * LANES;
        products(row, channels.end - channels.begin, stretch.pixels);
        p += stretch.pixels;
      }
    }
  }

  void add_lanes(const Lanes<T>* sums, int kernels, int taps, const ptrdiff_t* place, T* dw) const;

  // A tile of weight gradients: that of kernel k and tap t in sum[k][t], over some rows. One part
  // of the lanes after the other, so that the registers hold as many sums as they can.
  struct GradientTile {
    static constexpr int SUMS = VECTOR_REGISTERS == 32 ? 24 : 12, TAPS = 6;
    static constexpr int taps_beside(int kernels) { return std::min(SUMS / kernels, TAPS); }
    // Tiles that `kernels` are cut into: nearly square, and so that they come out even if they can.
    static int kernel_tiles(int kernels) {
      for (int size : {4, 6, 5, 3})
        if (size * 3 <= SUMS && kernels % size == 0) return kernels / size;
      return lots(kernels, 4);
    }

    const T* o;
    ptrdiff_t o_row, o_step;
    const ptrdiff_t* tap;
    const T* delta;
    ptrdiff_t delta_row, delta_channel;
    int rows, columns;
    bool first;  // nothing is in sum yet
    Lanes<T>* sum;

    template <int K, int N>
    void add() const {
      using Part = typename Lanes<T>::Part;
      const auto load = [](const T* from) {
        Part part;
        std::memcpy(&part, from, sizeof part);
        return part;
      };
      ptrdiff_t offset[N];
#pragma GCC unroll 8
      for (int t = 0; t < N; t++) offset[t] = tap[t];
      for (int part = 0; part < Lanes<T>::PARTS; part++) {
        Part total[K][N];
#pragma GCC unroll 8
        for (int k = 0; k < K; k++)
#pragma GCC unroll 8
          for (int t = 0; t < N; t++) total[k][t] = first ? Part{} : sum[k * N + t].part[part];
        for (int i = 0; i < rows; i++) {
          const T* pixel = o + i * o_row + part * Lanes<T>::WIDTH;
          const T* d = delta + i * delta_row + part * Lanes<T>::WIDTH;
          for (int j = 0; j < columns; j++, pixel += o_step, d += LANES) {
            Part in[N];
#pragma GCC unroll 8
            for (int t = 0; t < N; t++) in[t] = load(pixel + offset[t]);
#pragma GCC unroll 8
            for (int k = 0; k < K; k++) {
              const Part error = load(d + k * delta_channel);
#pragma GCC unroll 8
              for (int t = 0; t < N; t++) total[k][t] = (Part)fma_part(error, in[t], total[k][t]);
            }
          }
        }
#pragma GCC unroll 8
        for (int k = 0; k < K; k++)
#pragma GCC unroll 8
          for (int t = 0; t < N; t++) sum[k * N + t].part[part] = total[k][t];
      }
    }

    template <int K>
    void add(int taps) const {
#define CONVPROP_TAPS(N)                  \
  if constexpr (N <= taps_beside(K)) \
    if (taps == N) return add<K, N>();
      CONVPROP_TAPS(1) CONVPROP_TAPS(2) CONVPROP_TAPS(3) CONVPROP_TAPS(4) CONVPROP_TAPS(5) CONVPROP_TAPS(6)
#undef CONVPROP_TAPS
    }

    void add(int kernels, int taps) const {
#define CONVPROP_KERNELS(K)    \
  if constexpr (K * 3 <= SUMS) \
    if (kernels == K) return add<K>(taps);
      CONVPROP_KERNELS(1) CONVPROP_KERNELS(2) CONVPROP_KERNELS(3) CONVPROP_KERNELS(4) CONVPROP_KERNELS(5) CONVPROP_KERNELS(6)
#undef CONVPROP_KERNELS
    }
  };
};

// A map too large for the cache is taken in bands of rows, where a few kernels' deltas meet a run
// of the taps; their sums wait in memory for the next band.
template <class T>
void ConvLayer<T>::weight_gradient(const Maps<T>& o, const Maps<T>& delta, T* dw, int block, Range kernels) const {
  if (kernels.begin == kernels.end) return;
  // (Kernels that have several channels in common share what they load of them.)
  if (const auto add = kernels_each() == 1 || (few(kernels_each()) && channels_each() == 1) ? window_gradient<T>(window.size[0], window.size[1], one_stride()) : nullptr)
    return weight_gradient_alone(add, o, delta, dw, block, kernels);
  // Tiles whose sums wait.
  constexpr int TILES = Lanes<T>::PARTS == 1 ? 128 : 64, MOST_TAPS = TILES * GradientTile::TAPS;
  // Where the lanes take several parts, a band is read as many times.
  constexpr ptrdiff_t BAND_BYTES = Lanes<T>::PARTS == 1 ? 131072 : 16384;
  // The taps of a 1×1 window are maps of their own: those of a tile stay in the nearest cache while all
  // kernels pass by.
  constexpr ptrdiff_t NEAR_BYTES = 24576;
  const bool maps_of_their_own = Lanes<T>::PARTS == 1 && window_weights() == 1;
  const int taps = channels_each() * window_weights();
  for (int g = kernels.begin / kernels_each(); g * kernels_each() < kernels.end; g++) {
    const int k0 = std::max(kernels.begin, g * kernels_each()), k1 = std::min(kernels.end, (g + 1) * kernels_each());
    const int kernel_tiles = GradientTile::kernel_tiles(k1 - k0), most_kernels = lots(k1 - k0, kernel_tiles);
    const int widest = GradientTile::taps_beside(most_kernels), tap_tiles = lots(taps, widest);
    const T* origin = o.at(block, g * channels_each(), -window.before[0], -window.before[1]);
    // Bands of rows; where there is one long row, runs of it.
    const bool one_row = maps_of_their_own && of_pixels() && seamless(o) && seamless(delta);
    const int length = one_row ? Ho * Wo : Ho;
    const ptrdiff_t o_next = one_row ? LANES : window.stride[0] * o.row, delta_next = one_row ? LANES : delta.row;
    const ptrdiff_t bytes = ptrdiff_t(one_row ? 1 : Wo) * LANES * sizeof(T);
    const ptrdiff_t most = maps_of_their_own ? NEAR_BYTES / (widest * bytes) : BAND_BYTES / (most_kernels * bytes);
    const int band = int(std::clamp(most, ptrdiff_t(1), ptrdiff_t(length)));
    // So many tiles of kernels beside so many of taps: those that read the fewest maps again.
    int kernels_once = 4, taps_once = 16;
    if (maps_of_their_own) {
      ptrdiff_t fewest = std::numeric_limits<ptrdiff_t>::max();
      for (int k = 1; k <= std::min(kernel_tiles, TILES); k++) {
        const ptrdiff_t maps = ptrdiff_t(lots(kernel_tiles, k)) * taps + ptrdiff_t(lots(tap_tiles, TILES / k)) * (k1 - k0);
        if (maps < fewest) fewest = maps, kernels_once = k, taps_once = TILES / k;
      }
    }
    for (int tt = 0; tt < tap_tiles; tt += taps_once) {
      const int t_end = std::min(taps_once, tap_tiles - tt);
      Range tile_taps[TILES];  // counted from the first one here
      ptrdiff_t tap[MOST_TAPS], place[MOST_TAPS];
      const int first = share(taps, tt, tap_tiles).begin;
      for (int t = 0; t < t_end; t++) {
        const Range tile = share(taps, tt + t, tap_tiles);
        tile_taps[t] = {tile.begin - first, tile.end - first};
        for (int u = tile.begin; u < tile.end; u++) {
          const int c = u / window_weights(), m = u % window_weights() / window.size[1], n = u % window.size[1];
          tap[u - first] = c * o.channel + m * window.dilation[0] * o.row + ptrdiff_t(n) * window.dilation[1] * LANES;
          place[u - first] = weight_at(0, c, m, n);
        }
      }
      for (int kt = 0; kt < kernel_tiles; kt += kernels_once) {
        Lanes<T> sums[TILES][GradientTile::SUMS];
        const int k_end = std::min(kernels_once, kernel_tiles - kt);
        Range tile_kernels[TILES];
        for (int k = 0; k < k_end; k++) {
          const Range tile = share(k1 - k0, kt + k, kernel_tiles);
          tile_kernels[k] = {k0 + tile.begin, k0 + tile.end};
        }
        for (int i = 0; i < length; i += band) {
          const int count = std::min(band, length - i);
          const auto add = [&](int k, int t) {
            const GradientTile tile{origin + i * o_next, o_next, ptrdiff_t(window.stride[1]) * LANES,
                                    tap + tile_taps[t].begin, delta.at(block, tile_kernels[k].begin, 0, 0) + i * delta_next, delta_next, delta.channel,
                                    one_row ? 1 : count, one_row ? count : Wo, i == 0, sums[k * taps_once + t]};
            tile.add(tile_kernels[k].end - tile_kernels[k].begin, tile_taps[t].end - tile_taps[t].begin);
          };
          if (maps_of_their_own)
            for (int t = 0; t < t_end; t++)
              for (int k = 0; k < k_end; k++) add(k, t);
          else
            for (int k = 0; k < k_end; k++)
              for (int t = 0; t < t_end; t++) add(k, t);
        }
        for (int k = 0; k < k_end; k++)
          for (int t = 0; t < t_end; t++) {
            T* to = dw + ptrdiff_t(tile_kernels[k].begin) * taps;
            add_lanes(sums[k * taps_once + t], tile_kernels[k].end - tile_kernels[k].begin, tile_taps[t].end - tile_taps[t].begin, place + tile_taps[t].begin, to);
          }
      }
    }
  }
}

template <class T>
void ConvLayer<T>::weight_gradient_alone(WindowGradientOf add, const Maps<T>& o, const Maps<T>& delta, T* dw, int block, Range kernels) const {
  // Where the lanes or the window's rows take several turns, a band is read as many times.
  constexpr ptrdiff_t BAND_BYTES = 16384;
  const int band = int(std::clamp(BAND_BYTES / ptrdiff_t(ptrdiff_t(Wo) * LANES * sizeof(T)), ptrdiff_t(1), ptrdiff_t(Ho)));
  ptrdiff_t place[MOST_WINDOW_WEIGHTS];
  for (int t = 0; t < window_weights(); t++) place[t] = weight_at(0, 0, 0, t);
  for (int k = kernels.begin; k < kernels.end; k++)
    for (int c = 0; c < channels_each(); c++) {
      Lanes<T> sum[MOST_WINDOW_WEIGHTS];
      for (int i = 0; i < Ho; i += band)
        add({o.at(block, k / kernels_each() * channels_each() + c, i * window.stride[0] - window.before[0], -window.before[1]), o.row,
             delta.at(block, k, i, 0), delta.row, std::min(band, Ho - i), Wo, i == 0, sum});
      add_lanes(sum, 1, window_weights(), place, dw + (ptrdiff_t(k) * channels_each() + c) * window_weights());
    }
}

// Adds the lanes of each of a tile's sums, sixteen sums at once, to the weight gradients.
template <class T>
void ConvLayer<T>::add_lanes(const Lanes<T>* sums, int kernels, int taps, const ptrdiff_t* place, T* dw) const {
  const int count = kernels * taps;
  alignas(VECTOR_BYTES) T totals[(std::max(GradientTile::SUMS, MOST_WINDOW_WEIGHTS) + LANES - 1) / LANES * LANES];
  for (int s = 0; s < count; s += LANES) {
    Lanes<T> sixteen[LANES];
#pragma GCC unroll 16
    for (int l = 0; l < LANES; l++) sixteen[l] = s + l < count ? sums[s + l] : Lanes<T>(T(0));
    sums_of_lanes(sixteen).store(totals + s);
  }
  const T* total = totals;
  for (int k = 0; k < kernels; k++, dw += channels_each() * window_weights())
    for (int t = 0; t < taps; t++) dw[place[t]] += *total++;
}

// What the ops of all algorithms have in common.
template <class T>
struct ConvolutionOp {
  ConvLayer<T> layer;
  Shape shape;
  T padding_value;
  bool bias, trains_weights, trains_bias;
  ActivationLayer<T> activation;  // in place, behind it
  std::vector<T*> dw, db;         // a sum for each group, of those that are trained

  ConvolutionOp(const Description& description, const Shape& in)
      : layer(description, in),
        shape{layer.K, layer.Ho, layer.Wo},
        padding_value(T(description.number("padding_value"))),
        bias(description.flag("bias")) {
    const std::vector<bool> trained = description.trained(bias ? 2 : 1);
    trains_weights = trained[0], trains_bias = bias && trained[1];
  }

  Halo halo() const { return input_halo(layer.window); }
  std::vector<std::vector<ptrdiff_t>> parameters() const {
    std::vector<std::vector<ptrdiff_t>> shapes{{layer.K, layer.channels_each(), layer.window.size[0], layer.window.size[1]}};
    if (bias) shapes.push_back({layer.K});
    return shapes;
  }
  double multiply_adds() const { return double(layer.weights()) * layer.Ho * layer.Wo; }

 protected:
  void place_sums(const Memory& memory, ptrdiff_t weights) {
    if (trains_weights) dw = memory.sums<T>(weights);
    if (trains_bias) db = memory.sums<T>(layer.K);
  }
  const T* b(const Operands<T>& v) const { return bias ? v.parameters[1] : nullptr; }
  void add_to_bias(const Maps<T>& delta, const Share& at, int block, Range kernels) const {
    if (!trains_bias) return;
    if (at.first_of_group) std::fill(db[at.group] + kernels.begin, db[at.group] + kernels.end, T(0));
    layer.bias_gradient(delta, db[at.group], block, kernels);
  }
  Range gather_bias(int groups, int thread, int threads) const {
    const Range kernels = share(layer.K, thread, threads);
    add_groups(db, groups, kernels);
    return kernels;
  }
};

// A convolution whose deltas lie in maps with a halo: its own, unless those that read what it gives
// write them there behind its activation.
template <class T>
struct BlockConvolutionOp : ConvolutionOp<T> {
  static constexpr bool BY_BLOCK = true;
  std::vector<Maps<T>> own_delta;  // one block a unit

  using ConvolutionOp<T>::ConvolutionOp;

  bool writes_through(bool added) const { return !added; }
  Halo own_delta_halo() const { return delta_halo(this->layer.window, this->layer.W); }
  void place_delta(const Memory& memory, bool given) {
    own_delta.clear();
    if (!given) own_delta = memory.maps(memory.units, Layout<T>{this->shape, own_delta_halo(), 1});
    for (Maps<T>& maps : own_delta) maps.block = 0;
  }
  Maps<T> x_delta(const Operands<T>& v) const { return own_delta.empty() ? v.delta() : own_delta[v.at.unit]; }
  bool make_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    for (int block = blocks.begin; block < blocks.end && !own_delta.empty(); block++)
      this->activation.input_delta(v.delta(), v.out(), v.out(), x_delta(v), block, at.share_of(this->layer.K));
    return !own_delta.empty();
  }
};

template <class T>
struct ConvOp : BlockConvolutionOp<T> {
  using Base = BlockConvolutionOp<T>;
  using Base::layer, Base::dw, Base::db;

  static bool takes(const Description& description, const Way& way) {
    return description.kind() == "conv" && description.word("algorithm") == "direct" && !way.by_image;
  }
  ConvOp(const Description& description, const Shape& in, const Way&) : Base(description, in) {}

  void place(const Memory& memory, bool delta_is_given) {
    if (!memory.trains()) return;
    this->place_delta(memory, delta_is_given);
    this->place_sums(memory, layer.weights());
  }
  T* gradient(int parameter) const { return parameter == 0 ? dw[0] : db[0]; }

  void forward(const Operands<T>& v, Range blocks, const Share& at) const {
    for (int block = blocks.begin; block < blocks.end; block++)
      layer.forward(v.in(), v.parameters[0], this->b(v), v.out(), block, at.share_of(layer.K), this->activation);
  }
  void weight_gradient(const Operands<T>& v, Range blocks, const Share& at) const {
    const Range kernels = at.share_of(layer.K);
    this->add_to_bias(this->x_delta(v), at, blocks.begin, kernels);
    if (!this->trains_weights) return;
    const ptrdiff_t each = layer.weights() / layer.K;
    T* sum = dw[at.group];
    if (at.first_of_group) std::fill(sum + kernels.begin * each, sum + kernels.end * each, T(0));
    layer.weight_gradient(v.in(), this->x_delta(v), sum, blocks.begin, kernels);
  }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    layer.input_delta(this->x_delta(v), v.parameters[0], v.delta_in(), blocks.begin, at.share_of(layer.C), through(v), v.in(),
                      v.added());
  }
  Range gather(int parameter, const Step& step, int thread, int threads) const {
    if (parameter == 1) return this->gather_bias(step.groups.count(), thread, threads);
    const Range weights = share(int(layer.weights()), thread, threads);
    add_groups(dw, step.groups.count(), weights);
    return weights;
  }
};

// Compiled once, in tiles.cc.
extern template void ConvLayer<float>::weight_gradient(const Maps<float>&, const Maps<float>&, float*, int, Range) const;
extern template void ConvLayer<double>::weight_gradient(const Maps<double>&, const Maps<double>&, double*, int, Range) const;

}  // namespace convprop
