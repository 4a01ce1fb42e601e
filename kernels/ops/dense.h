// The fully connected layer: matrix products with the batch in the lanes.
//
// A block's maps are one column of F features; w is [K][F] in their order (channels, rows,
// columns). Forward and input delta are sums of products over a run of blocks at once. The
// weight gradient is a sum over images, so it wants the features in the lanes: `rows_of`
// turns each block round, and the sum is one chain over the images of each group in the order of
// the batch; the groups are then added up by the tree (groups.h).
#pragma once

#include "maps/products.h"
#include "ops/activation.h"
#include "ops/groups.h"

namespace convprop {

// Whole vectors, and an odd number of them: rows far apart by a power of two would compete for the
// same sets of the cache.
inline ptrdiff_t row_of(int count) { return (ptrdiff_t(lots(count, LANES)) | 1) * LANES; }

// One row an image: what the weight gradient reads.
template <class T>
struct Rows {
  T* data;
  ptrdiff_t row;
};

template <class T>
struct DenseLayer {
  int F, K;

  ptrdiff_t weights() const { return ptrdiff_t(K) * F; }

  // x[k] = b[k] + sum over f of w[k][f] · o[f], then the activation
  void forward(const Maps<T>& o, const T* w, const T* b, const Maps<T>& x, Range blocks, Range kernels,
               const ActivationLayer<T>& activation) const {
    Products<T> all;
    all.taps = {{1, 1, F}, {0, 0, LANES}, {0, 0, 1}};
    all.o = o.at(blocks.begin, 0, 0, 0);
    all.o_step = o.block;
    all.w = w + ptrdiff_t(kernels.begin) * F;
    all.w_kernel = F;
    all.start = b ? b + kernels.begin : nullptr;
    all.x = x.at(blocks.begin, 0, 0, 0) + ptrdiff_t(kernels.begin) * LANES;
    all.x_kernel = LANES;
    all.x_step = x.block;
    products(all, kernels.end - kernels.begin, blocks.end - blocks.begin);
    if (!activation.identity())
      for (int block = blocks.begin; block < blocks.end; block++) {
        T* to = x.at(block, 0, 0, 0) + ptrdiff_t(kernels.begin) * LANES;
        activation.forward(to, to, kernels.end - kernels.begin);
      }
  }

  // delta_in[f] = sum over k of w[k][f] · delta[k]
  void input_delta(const Maps<T>& delta, const T* w, const Maps<T>& delta_in, Range blocks, Range features, bool added = false) const {
    Products<T> all;
    all.taps = {{1, 1, K}, {0, 0, LANES}, {0, 0, F}};
    all.o = delta.at(blocks.begin, 0, 0, 0);
    all.o_step = delta.block;
    all.w = w + features.begin;
    all.w_kernel = 1;
    all.start = nullptr;
    all.added = added;
    all.x = delta_in.at(blocks.begin, 0, 0, 0) + ptrdiff_t(features.begin) * LANES;
    all.x_kernel = LANES;
    all.x_step = delta_in.block;
    products(all, features.end - features.begin, blocks.end - blocks.begin);
  }

  // The rows begin with those of block `first`.
  static void rows_of(const Maps<T>& maps, int block, const Rows<T>& rows, Range features, int first = 0) {
    to_rows(maps.at(block, 0, 0, 0) + ptrdiff_t(features.begin) * LANES, features.end - features.begin,
            rows.data + ptrdiff_t(block - first) * LANES * rows.row + features.begin, rows.row);
  }

  // dw[k][f] = sum over the images n of delta[n][k] · o[n][f], for rows k of dw
  void weight_gradient(const Rows<T>& o, const Rows<T>& delta, const Groups& groups, T* dw, Range kernels) const {
    each_tile(o, delta, groups, kernels, [&](const Sums& sums, int K, int P, ptrdiff_t k, ptrdiff_t f) {
      sums.add(K, P, dw + k * F + f, F, F - f);
    });
  }

  // The same of some images of one group, from the sum of those before them on.
  void add_images(const Rows<T>& o, const Rows<T>& delta, const Groups& groups, Range images, bool first_of_group, T* dw, Range kernels) const {
    each_tile(o, delta, groups, kernels, [&](const Sums& sums, int K, int P, ptrdiff_t k, ptrdiff_t f) {
      sums.go_on(images, first_of_group, K, P, dw + k * F + f, F, F - f);
    });
  }

  // db[k] = sum over the images n of delta[n][k]
  void bias_gradient(const Rows<T>& delta, const Groups& groups, T* db, Range kernels) const {
    for (int k = kernels.begin; k < kernels.end; k++)
      db[k] = groups.sum([&](Range images) {
        T sum = 0;
        for (int n = images.begin; n < images.end; n++) sum += delta.data[n * delta.row + k];
        return sum;
      });
  }
  void add_images(const Rows<T>& delta, Range images, bool first_of_group, T* db, Range kernels) const {
    for (int k = kernels.begin; k < kernels.end; k++) {
      T sum = first_of_group ? T(0) : db[k];
      for (int n = images.begin; n < images.end; n++) sum += delta.data[n * delta.row + k];
      db[k] = sum;
    }
  }

 private:
  struct Sums;

  // body(sums, kernels, vectors, k, f) for tiles of rows k and features f of dw.
  template <class Body>
  void each_tile(const Rows<T>& o, const Rows<T>& delta, const Groups& groups, Range kernels, const Body& body) const {
    const int vectors = lots(F, LANES), tiles = lots(vectors, Sums::PIXELS);
    for (int tile = 0; tile < tiles; tile++) {
      const Range pixels = share(vectors, tile, tiles);
      for (int k = kernels.begin; k < kernels.end; k += Sums::KERNELS) {
        const Sums sums{o.data + ptrdiff_t(pixels.begin) * LANES, o.row, delta.data + k, delta.row, groups};
        body(sums, std::min(Sums::KERNELS, kernels.end - k), pixels.end - pixels.begin, k, ptrdiff_t(pixels.begin) * LANES);
      }
    }
  }

  // Weight gradients of a few kernels for a few vectors of features, of two groups side by side: as
  // many sums as the registers hold. Those of the groups before them wait in the cache.
  struct Sums {
    static constexpr int KERNELS = Tile<T>::SUMS >= 24 ? 4 : Tile<T>::SUMS >= 6 ? 3 : 1;
    static constexpr int PIXELS = std::max(1, Tile<T>::SUMS / KERNELS / 2);

    const T* o;
    ptrdiff_t o_row;
    const T* delta;
    ptrdiff_t delta_row;
    const Groups& groups;

    template <int K, int P>
    struct Part {
      Lanes<T> sum[K][P];

      Part& operator+=(const Part& other) {
#pragma GCC unroll 4
        for (int k = 0; k < K; k++)
#pragma GCC unroll 4
          for (int p = 0; p < P; p++) sum[k][p] = other.sum[k][p] + sum[k][p];
        return *this;
      }
    };

    // One image's products.
    template <int K, int P>
    CONVPROP_INLINE void add_image(int n, Part<K, P>& part) const {
      const T *pixel = o + n * o_row, *error = delta + n * delta_row;
      Lanes<T> in[P];
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) in[p] = Lanes<T>::load(pixel + p * LANES);
#pragma GCC unroll 4
      for (int k = 0; k < K; k++) {
        const Lanes<T> weight = error[k];
#pragma GCC unroll 4
        for (int p = 0; p < P; p++) part.sum[k][p] = fma(weight, in[p], part.sum[k][p]);
      }
    }

    template <int K, int P>
    void add(T* to, ptrdiff_t to_row, ptrdiff_t features) const {
      Part<K, P> waiting[MOST_GROUPS / 2];
      groups.add_up(waiting, [&](Range first, Range second, Part<K, P>* before, int joins, bool last) __attribute__((always_inline)) {
        Part<K, P> a, b;
#pragma GCC unroll 4
        for (int k = 0; k < K; k++)
#pragma GCC unroll 4
          for (int p = 0; p < P; p++) a.sum[k][p] = b.sum[k][p] = T(0);
        int n = first.begin, m = second.begin;
        for (; n < first.end && m < second.end; n++, m++) add_image(n, a), add_image(m, b);
#pragma GCC unroll 1
        for (; n < first.end; n++) add_image(n, a);
#pragma GCC unroll 1
        for (; m < second.end; m++) add_image(m, b);
        if (second.begin < second.end) a += b;
#pragma GCC unroll 1
        while (joins > 0) a += before[--joins];
        if (last) put(a, to, to_row, features);
        else before[0] = a;
      });
    }

    template <int K, int P>
    static CONVPROP_INLINE void put(const Part<K, P>& all, T* to, ptrdiff_t to_row, ptrdiff_t features) {
#pragma GCC unroll 4
      for (int k = 0; k < K; k++, to += to_row)
#pragma GCC unroll 4
        for (int p = 0; p < P; p++) {
          const Lanes<T> sum = all.sum[k][p] + Lanes<T>(T(0));
          if (features >= (p + 1) * LANES) {
            sum.store(to + p * LANES);
          } else {
            alignas(VECTOR_BYTES) T few[LANES];
            sum.store(few);
            std::copy_n(few, features - p * LANES, to + p * LANES);
          }
        }
    }

    // A zero has the sign that it has in the end: no later sum can tell.
    template <int K, int P>
    void go_on(Range images, bool first_of_group, T* to, ptrdiff_t to_row, ptrdiff_t features) const {
      Part<K, P> part;
      for (int k = 0; k < K; k++)
        for (int p = 0; p < P; p++) {
          alignas(VECTOR_BYTES) T before[LANES] = {};
          const ptrdiff_t some = std::min(ptrdiff_t(LANES), features - p * LANES);
          if (!first_of_group) std::copy_n(to + k * to_row + p * LANES, some, before);
          part.sum[k][p] = Lanes<T>::load(before);
        }
      for (int n = images.begin; n < images.end; n++) add_image(n, part);
      put(part, to, to_row, features);
    }

    // body.template operator()<K, P>() for as many kernels and vectors.
    template <int K, class Body>
    static void known(int pixels, const Body& body) {
#define CONVPROP_PIXELS(P)    \
  if constexpr (P <= PIXELS) \
    if (pixels == P) return body.template operator()<K, P>();
      CONVPROP_PIXELS(1) CONVPROP_PIXELS(2) CONVPROP_PIXELS(3)
#undef CONVPROP_PIXELS
    }
    template <class Body>
    static void known(int kernels, int pixels, const Body& body) {
#define CONVPROP_KERNELS(K)    \
  if constexpr (K <= KERNELS) \
    if (kernels == K) return known<K>(pixels, body);
      CONVPROP_KERNELS(1) CONVPROP_KERNELS(2) CONVPROP_KERNELS(3) CONVPROP_KERNELS(4)
#undef CONVPROP_KERNELS
    }

    void add(int kernels, int pixels, T* to, ptrdiff_t to_row, ptrdiff_t features) const {
      known(kernels, pixels, [&]<int K, int P>() { add<K, P>(to, to_row, features); });
    }
    void go_on(Range images, bool first_of_group, int kernels, int pixels, T* to, ptrdiff_t to_row, ptrdiff_t features) const {
      known(kernels, pixels, [&]<int K, int P>() { go_on<K, P>(images, first_of_group, to, to_row, features); });
    }
  };
};

template <class T>
struct DenseOp {
  static constexpr bool TOGETHER = true;
  DenseLayer<T> layer;
  Shape shape;
  bool bias, trains_weights, trains_bias;
  ActivationLayer<T> activation;  // in place, behind it
  Rows<T> o_rows{}, delta_rows{};
  std::vector<T*> dw, db;  // one sum of all, or where a batch comes in parts one for each group
  bool in_parts = false;

  static bool takes(const Description& description, const Way&) { return description.kind() == "dense"; }
  DenseOp(const Description& description, const Shape& in, const Way&)
      : layer{in.C * in.H * in.W, description.integer("units")}, shape{layer.K, 1, 1}, bias(description.flag("bias")) {
    if (layer.K < 1) description.refuse("it needs a unit");
    const std::vector<bool> trained = description.trained(bias ? 2 : 1);
    trains_weights = trained[0], trains_bias = bias && trained[1];
    check_size("a dense layer's weights", {layer.K, layer.F});
  }

  std::vector<std::vector<ptrdiff_t>> parameters() const {
    std::vector<std::vector<ptrdiff_t>> shapes{{layer.K, layer.F}};
    if (bias) shapes.push_back({layer.K});
    return shapes;
  }
  double multiply_adds() const { return double(layer.weights()); }
  void place(const Memory& memory, bool) {
    if (!memory.trains()) return;
    const auto rows = [&](int features) {
      const ptrdiff_t row = row_of(features);
      return Rows<T>{memory.take<T>(room_for(ptrdiff_t(memory.part_blocks) * LANES, row)), row};
    };
    if (trains_weights) o_rows = rows(layer.F);
    if (trains_weights || trains_bias) delta_rows = rows(layer.K);
    in_parts = memory.in_parts();
    const auto sums = [&](ptrdiff_t count) { return in_parts ? memory.sums<T>(count) : std::vector<T*>{memory.take<T>(count)}; };
    if (trains_weights) dw = sums(layer.weights());
    if (trains_bias) db = sums(layer.K);
  }
  T* gradient(int parameter) const { return parameter == 0 ? dw[0] : db[0]; }

  void forward(const Operands<T>& v, Range blocks, const Share& at) const {
    layer.forward(v.in(), v.parameters[0], bias ? v.parameters[1] : nullptr, v.out(), blocks, at.share_of(layer.K), activation);
  }
  // What the weight gradient will be made of, when all images are there.
  bool make_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    const Range kernels = at.share_of(layer.K), features = at.share_of(layer.F);
    const int first = at.step->part.begin;
    for (int b = blocks.begin; b < blocks.end; b++) {
      activation.input_delta(v.delta(), v.out(), v.out(), v.delta(), b, kernels);
      if (trains_weights || trains_bias) layer.rows_of(v.delta(), b, delta_rows, kernels, first);
      if (trains_weights) layer.rows_of(v.in(), b, o_rows, features, first);
    }
    return true;
  }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    layer.input_delta(v.delta(), v.parameters[0], v.delta_in(), blocks, at.share_of(layer.F), v.added());
  }
  // Of a batch in parts, adds what the part's images give to the sums of their groups.
  void add_part(const Step& step, int thread, int threads) const {
    if (!in_parts) return;
    const Range kernels = share(layer.K, thread, threads);
    for (int g = 0; g < step.groups.count(); g++) {
      const Range group = step.groups.images_in(g), part{step.part.begin * LANES, std::min(step.part.end * LANES, step.groups.images)};
      const Range images{std::max(group.begin, part.begin), std::min(group.end, part.end)};
      if (images.begin >= images.end) continue;
      const bool first = images.begin == group.begin;
      const Range rows{images.begin - part.begin, images.end - part.begin};
      if (trains_weights) layer.add_images(o_rows, delta_rows, step.groups, rows, first, dw[g], kernels);
      if (trains_bias) layer.add_images(delta_rows, rows, first, db[g], kernels);
    }
  }
  Range gather(int parameter, const Step& step, int thread, int threads) const {
    const Range kernels = share(layer.K, thread, threads);
    const int each = parameter == 1 ? 1 : layer.F;
    const Range elements{kernels.begin * each, kernels.end * each};
    if (in_parts) add_groups(parameter == 1 ? db : dw, step.groups.count(), elements);
    else if (parameter == 1) layer.bias_gradient(delta_rows, step.groups, db[0], kernels);
    else layer.weight_gradient(o_rows, delta_rows, step.groups, dw[0], kernels);
    return elements;
  }
};

}  // namespace convprop
