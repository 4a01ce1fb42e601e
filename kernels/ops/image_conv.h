// Convolution of one image with sixteen pixels of a row in the lanes, for batches too small
// to fill the lanes with images. Stride 1, one group.
//
// Every sum has the order it has in conv.h, so a batch's results do not show which of the two
// computed them: outputs and input deltas are sums of their own whatever lane they are in; a
// weight gradient needs its pixels in order, so there the lanes hold sixteen kernels, and the
// images' sums are added up by halves as those of the lanes of a block are.
//
// Maps have one number a pixel. Whole vectors are written past a row's end: rows are computed
// downwards and columns from the right, so that what comes later puts right what was overwritten,
// and clear_margins() the halo.
#pragma once

#include "ops/conv.h"

namespace convprop {

// The rows and columns that a window's input delta reads beyond the output map.
inline Halo whole_delta_halo(const Window& window, int height, int width) {
  Halo halo;
  const int size[2] = {height, width};
  for (int axis = 0; axis < 2; axis++) {
    halo.before[axis] = int(std::max(ptrdiff_t(0), window.reach(axis) - 1 - window.before[axis]));
    halo.after[axis] = std::max(0, size[axis] + window.before[axis] - output_size(window, axis, size[axis]));
  }
  return halo;
}

// Sets what lies behind each row of some maps of image n to `value`: the halo up to the next row,
// and what the last row's vectors wrote past its end.
template <class T>
void clear_margins(const Maps<T>& maps, int n, Range channels, T value) {
  for (int c = channels.begin; c < channels.end; c++) {
    for (int i = 0; i + 1 < maps.H; i++) std::fill_n(maps.at(n, c, i, maps.W), maps.row - maps.W, value);
    std::fill_n(maps.at(n, c, maps.H - 1, maps.W), LANES, value);
  }
}

template <class T>
struct ImageConv {
  const ConvLayer<T>& layer;

  // Numbers of by_kernel and of one image's part of the weight and bias gradients.
  ptrdiff_t kernel_lanes() const { return (layer.K + LANES - 1) / LANES * LANES; }
  ptrdiff_t by_kernel_size() const { return kernel_lanes() * layer.Ho * layer.Wo; }
  int taps() const { return layer.C * layer.window_weights(); }
  ptrdiff_t gradient_size() const { return kernel_lanes() * (taps() + 1); }

  // Eq. 7, as ConvLayer::forward, and the activation of Eq. 8.
  void forward(const Maps<T>& o, const T* w, const T* b, const Maps<T>& x, int n, Range kernels,
               const ActivationLayer<T>& activation) const {
    const Window& window = layer.window;
    for (int j = (layer.Wo - 1) / LANES * LANES; j >= 0; j -= LANES) {
      Products<T> columns;
      columns.taps = {{layer.C, window.size[0], window.size[1]},
                      {o.channel, window.dilation[0] * o.row, window.dilation[1]},
                      {layer.window_weights(), layer.direction() * window.size[1], layer.direction()}};
      columns.o = o.at(n, 0, -window.before[0], j - window.before[1]);
      columns.o_step = o.row;
      columns.w = w + layer.weight_at(kernels.begin, 0, 0, 0);
      columns.w_kernel = taps();
      columns.start = b ? b + kernels.begin : nullptr;
      columns.x = x.at(n, kernels.begin, 0, j);
      columns.x_kernel = x.channel;
      columns.x_step = x.row;
      products(columns, kernels.end - kernels.begin, layer.Ho);
    }
    if (activation.identity()) return;
    const ptrdiff_t pixels = (layer.Ho - 1) * x.row + layer.Wo;
    for (int k = kernels.begin; k < kernels.end; k++) activation.forward(x.at(n, k, 0, 0), x.at(n, k, 0, 0), (pixels + LANES - 1) / LANES);
  }

  // Eq. 17, as ConvLayer::input_delta; delta has a halo of zeros on all sides.
  void input_delta(const Maps<T>& delta, const T* w, const Maps<T>& delta_in, int n) const {
    const Window& window = layer.window;
    for (int j = (layer.W - 1) / LANES * LANES; j >= 0; j -= LANES) {
      Products<T> columns;
      columns.taps = {{layer.K, window.size[0], window.size[1]},
                      {delta.channel, -window.dilation[0] * delta.row, -window.dilation[1]},
                      {taps(), layer.direction() * window.size[1], layer.direction()}};
      columns.o = delta.at(0, 0, window.before[0], j + window.before[1]);
      columns.o_step = delta.row;
      columns.w = w + layer.weight_at(0, 0, 0, 0);
      columns.w_kernel = layer.window_weights();
      columns.start = nullptr;
      columns.x = delta_in.at(n, 0, 0, j);
      columns.x_kernel = delta_in.channel;
      columns.x_step = delta_in.row;
      products(columns, layer.C, layer.H);
    }
  }

  // Eq. 13 for one image: part[t][k], the kernels in the lanes, for the taps t = (c, m, n) in the
  // order of the window, if weights are trained; behind them the bias gradients. by_kernel is room to
  // work in.
  void weight_gradient(const Maps<T>& o, const Maps<T>& delta, T* by_kernel, T* part, int n, bool weights) const {
    const ptrdiff_t lanes = kernel_lanes();
    for (int k = 0; k < layer.K; k += LANES)
      for (int i = 0; i < layer.Ho; i++)
        for (int j = 0; j < layer.Wo; j += LANES) {
          Lanes<T> square[LANES];
#pragma GCC unroll 16
          for (int q = 0; q < LANES; q++) square[q] = k + q < layer.K ? Lanes<T>::load(delta.at(0, k + q, i, j)) : Lanes<T>(T(0));
          transpose(square);
          for (int p = 0; p < LANES && j + p < layer.Wo; p++) square[p].store(by_kernel + (ptrdiff_t(i) * layer.Wo + j + p) * lanes + k);
        }
    const T* origin = o.at(n, 0, -layer.window.before[0], -layer.window.before[1]);
    constexpr int MOST = std::min(Tile<T>::KERNELS, 10);
    const int tiles = weights ? (taps() + MOST - 1) / MOST : 0;
    for (int k = 0; k < lanes; k += LANES) {
      for (int tile = 0, t = 0; tile < tiles; tile++) {
        const int count = (taps() - t + tiles - tile - 1) / (tiles - tile);
        gradient_tile(count, t, origin, o.channel, o.row, by_kernel + k, part + k);
        t += count;
      }
      Lanes<T> sum = T(0);
      for (ptrdiff_t pixel = 0; pixel < ptrdiff_t(layer.Ho) * layer.Wo; pixel++) sum = sum + Lanes<T>::load(by_kernel + pixel * lanes + k);
      sum.store(part + taps() * lanes + k);
    }
  }

  // The sums of a block's weight and bias gradients, from those of its images: element (k, t) of
  // dw and db for the taps in the range, the bias being the last.
  void add_images(const T* part, int images, T* dw, T* db, Range range) const {
    const ptrdiff_t lanes = kernel_lanes();
    for (int t = range.begin; t < range.end; t++) {
      if (t == taps() && !db) break;
      const int place = t % layer.window_weights();
      const ptrdiff_t to = t - place + (layer.flip ? layer.window_weights() - 1 - place : place);
      for (int k = 0; k < layer.K; k += LANES) {
        Lanes<T> sum[LANES];
        for (int l = 0; l < LANES; l++) sum[l] = l < images ? Lanes<T>::load(part + l * gradient_size() + t * lanes + k) : Lanes<T>(T(0));
        for (int half = LANES / 2; half; half /= 2)
          for (int l = 0; l < half; l++) sum[l] = sum[l] + sum[l + half];
        alignas(VECTOR_BYTES) T sums[LANES];
        (Lanes<T>(T(0)) + sum[0]).store(sums);
        for (int q = 0; q < LANES && k + q < layer.K; q++) (t == taps() ? db[k + q] : dw[ptrdiff_t(k + q) * taps() + to]) = sums[q];
      }
    }
  }

 private:
  template <int TAPS>
  void gradient_tile(const T* const* from, ptrdiff_t o_row, const T* by_kernel, T* part) const {
    const ptrdiff_t lanes = kernel_lanes();
    Lanes<T> sum[TAPS];
#pragma GCC unroll 12
    for (int t = 0; t < TAPS; t++) sum[t] = T(0);
    for (int i = 0; i < layer.Ho; i++) {
      const ptrdiff_t row = i * o_row;
      for (int j = 0; j < layer.Wo; j++, by_kernel += lanes) {
        const Lanes<T> error = Lanes<T>::load(by_kernel);
#pragma GCC unroll 12
        for (int t = 0; t < TAPS; t++) sum[t] = fma(error, Lanes<T>(from[t][row + j]), sum[t]);
      }
    }
#pragma GCC unroll 12
    for (int t = 0; t < TAPS; t++) sum[t].store(part + t * lanes);
  }

  void gradient_tile(int count, int first, const T* origin, ptrdiff_t o_channel, ptrdiff_t o_row, const T* by_kernel, T* part) const {
    const Window& window = layer.window;
    const T* from[12];
    for (int u = 0; u < count; u++) {
      const int c = (first + u) / layer.window_weights(), m = (first + u) % layer.window_weights() / window.size[1], q = (first + u) % window.size[1];
      from[u] = origin + c * o_channel + m * window.dilation[0] * o_row + q * window.dilation[1];
    }
    part += first * kernel_lanes();
#define CONVPROP_TAPS(N) \
  if constexpr (N <= Tile<T>::KERNELS) \
    if (count == N) return gradient_tile<N>(from, o_row, by_kernel, part);
    CONVPROP_TAPS(1) CONVPROP_TAPS(2) CONVPROP_TAPS(3) CONVPROP_TAPS(4) CONVPROP_TAPS(5) CONVPROP_TAPS(6)
    CONVPROP_TAPS(7) CONVPROP_TAPS(8) CONVPROP_TAPS(9) CONVPROP_TAPS(10) CONVPROP_TAPS(11) CONVPROP_TAPS(12)
#undef CONVPROP_TAPS
  }
};

// Takes the place of ConvOp where a batch goes image by image.
template <class T>
struct ImageConvOp : ConvolutionOp<T> {
  static constexpr bool GAINS_BY_IMAGE = true;
  using Base = ConvolutionOp<T>;
  using Base::layer, Base::dw, Base::db;
  std::vector<Maps<T>> own_delta;  // one image a thread
  T* image_gradients = nullptr;

  static bool takes(const Description& description, const Way& way) {
    const auto stride = description.kind() == "conv" ? description.integers<2>("stride") : std::array<int, 2>{};
    return description.kind() == "conv" && description.word("algorithm") == "direct" && way.by_image &&
           description.integer("groups") == 1 && stride[0] == 1 && stride[1] == 1;
  }
  ImageConvOp(const Description& description, const Shape& in, const Way&) : Base(description, in) {}

  ptrdiff_t scratch(Mode mode) const { return mode == Mode::train ? ImageConv<T>{layer}.by_kernel_size() : 0; }
  void place(const Memory& memory, bool) {
    if (!memory.trains()) return;
    own_delta = memory.maps(memory.threads, Layout<T>{this->shape, whole_delta_halo(layer.window, layer.H, layer.W), 1, 1});
    this->place_sums(memory, layer.weights());
    image_gradients = memory.take<T>(room_for(memory.batch_size, ImageConv<T>{layer}.gradient_size()));
  }
  T* gradient(int parameter) const { return parameter == 0 ? dw[0] : db[0]; }

  void forward_image(const Operands<T>& v, int n, Range maps, const Share&) const {
    ImageConv<T>{layer}.forward(v.in(), v.parameters[0], this->b(v), v.out(), n, maps, this->activation);
  }
  void weight_gradient_image(const Operands<T>& v, int n, const Share& at) const {
    const ImageConv<T> images{layer};
    const Maps<T>& delta = own_delta[at.thread];
    this->activation.input_delta_image(v.delta(), v.out(), v.out(), n, delta, 0);
    clear_margins(delta, 0, {0, delta.C}, T(0));
    if (this->trains_weights || this->trains_bias)
      images.weight_gradient(v.in(), delta, v.scratch, image_gradients + n * images.gradient_size(), n, this->trains_weights);
  }
  void input_delta_image(const Operands<T>& v, int n, const Share& at) const {
    ImageConv<T>{layer}.input_delta(own_delta[at.thread], v.parameters[0], v.delta_in(), n);
  }
  void gather_images(int count, int thread, int threads) const {
    const ImageConv<T> images{layer};
    Range taps = share(images.taps() + 1, thread, threads);
    if (!this->trains_weights) taps.begin = std::max(taps.begin, images.taps());
    images.add_images(image_gradients, count, this->trains_weights ? dw[0] : nullptr, this->trains_bias ? db[0] : nullptr, taps);
  }
  Range gather(int parameter, const Step&, int thread, int threads) const {
    return share(parameter == 0 ? int(layer.weights()) : layer.K, thread, threads);
  }
};

}  // namespace convprop
