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

  // db[k] += sum over i, j and the lanes of delta[k][i][j]
  void bias_gradient(const Maps<T>& delta, T* db, int block, Range kernels) const {
    for (int k = kernels.begin; k < kernels.end; k++) {
      Lanes<T> sum = T(0);
      for (int i = 0; i < Ho; i++)
        for (int j = 0; j < Wo; j++) sum = sum + Lanes<T>::load(delta.at(block, k, i, j));
      db[k] += sum_of_lanes(sum);
    }
  }

 private:
  static Window dilated_window(const Description& description) {
    Window window = window_of(description, "kernel_size");
    const auto dilation = description.integers<2>("dilation");
    window.dilation[0] = dilation[0], window.dilation[1] = dilation[1];
    return window;
  }

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
  constexpr int KERNEL_TILES = 4, TAP_TILES = 16, MOST_TAPS = TAP_TILES * GradientTile::TAPS;
  // Where the lanes take several parts, a band is read as many times.
  constexpr ptrdiff_t BAND_BYTES = Lanes<T>::PARTS == 1 ? 131072 : 16384;
  const int taps = channels_each() * window_weights();
  for (int g = kernels.begin / kernels_each(); g * kernels_each() < kernels.end; g++) {
    const int k0 = std::max(kernels.begin, g * kernels_each()), k1 = std::min(kernels.end, (g + 1) * kernels_each());
    const int kernel_tiles = GradientTile::kernel_tiles(k1 - k0), most_kernels = lots(k1 - k0, kernel_tiles);
    const int widest = GradientTile::taps_beside(most_kernels), tap_tiles = lots(taps, widest);
    const int band = int(std::clamp(BAND_BYTES / ptrdiff_t(ptrdiff_t(most_kernels) * Wo * LANES * sizeof(T)), ptrdiff_t(1), ptrdiff_t(Ho)));
    const T* origin = o.at(block, g * channels_each(), -window.before[0], -window.before[1]);
    for (int tt = 0; tt < tap_tiles; tt += TAP_TILES) {
      const int t_end = std::min(TAP_TILES, tap_tiles - tt);
      Range tile_taps[TAP_TILES];  // counted from the first one here
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
      for (int kt = 0; kt < kernel_tiles; kt += KERNEL_TILES) {
        Lanes<T> sums[KERNEL_TILES][TAP_TILES][GradientTile::SUMS];
        const int k_end = std::min(KERNEL_TILES, kernel_tiles - kt);
        Range tile_kernels[KERNEL_TILES];
        for (int k = 0; k < k_end; k++) {
          const Range tile = share(k1 - k0, kt + k, kernel_tiles);
          tile_kernels[k] = {k0 + tile.begin, k0 + tile.end};
        }
        for (int i = 0; i < Ho; i += band)
          for (int k = 0; k < k_end; k++)
            for (int t = 0; t < t_end; t++) {
              const GradientTile tile{origin + i * window.stride[0] * o.row, window.stride[0] * o.row, ptrdiff_t(window.stride[1]) * LANES,
                                      tap + tile_taps[t].begin, delta.at(block, tile_kernels[k].begin, i, 0), delta.row, delta.channel,
                                      std::min(band, Ho - i), Wo, i == 0, sums[k][t]};
              tile.add(tile_kernels[k].end - tile_kernels[k].begin, tile_taps[t].end - tile_taps[t].begin);
            }
        for (int k = 0; k < k_end; k++)
          for (int t = 0; t < t_end; t++) {
            T* to = dw + ptrdiff_t(tile_kernels[k].begin) * taps;
            add_lanes(sums[k][t], tile_kernels[k].end - tile_kernels[k].begin, tile_taps[t].end - tile_taps[t].begin, place + tile_taps[t].begin, to);
          }
      }
    }
  }
}

// Adds the lanes of each of a tile's sums, sixteen sums at once, to the weight gradients.
template <class T>
void ConvLayer<T>::add_lanes(const Lanes<T>* sums, int kernels, int taps, const ptrdiff_t* place, T* dw) const {
  const int count = kernels * taps;
  alignas(VECTOR_BYTES) T totals[(GradientTile::SUMS + LANES - 1) / LANES * LANES];
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
