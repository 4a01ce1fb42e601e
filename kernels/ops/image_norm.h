// Normalisations of an image by its own statistics: over groups of its channels (Wu and He, "Group
// normalization", ECCV 2018; with as many groups as channels Ulyanov, Vedaldi and Lempitsky, "Instance
// normalization", 2016) or over the channels of each pixel (Ba, Kiros and Hinton, "Layer normalization",
// 2016, as convolutional networks have it). With the mean and the biased variance of the n numbers that
// are normalised together,
//
//   x^ = (o - mean) / sqrt(variance + epsilon),  x = w[c] · x^ + b[c],
//
// and, where g = w[c] · delta,
//
//   dE/do = (g - mean of g - x^ · mean of g · x^) / sqrt(variance + epsilon),
//   dE/dw[c] = Σ delta · x^,  dE/db[c] = Σ delta.
//
// In lanes every number is an image's own, so threads that share a block's channels meet once, between
// the statistics and what is made of them. An image whose pixels are in the lanes has the same sums, of
// single numbers.
//
// The mean is not a number of T where T is float32: x^ is fma(o - m, r, e), with m the mean and
// r = 1 / sqrt(variance + epsilon) rounded to T, and e = (m - mean) · r from float64.
//
// Order of the sums: those of moments.h, over rows and then the group's channels. Of the channels of a
// pixel, which lie far apart in memory, a row of pixels at a time is summed about the middle one, and then
// squared about m, each one chain from 0. Σ delta and Σ delta · x^ of a map are chains over each row from
// 0, added downwards; then lanes by halves, blocks in order within a group, groups by the tree. The means
// of g and g · x^ are sums over the channels in order, of a group in float64, of those of its maps.
#pragma once

#include "ops/groups.h"
#include "ops/join.h"
#include "ops/moments.h"

namespace convprop {

// x^ of o.
template <class Value>
struct Normaliser {
  Value m, r, e;

  template <class T>
  static Normaliser of(const Moments<Wide<Value>>& all, double epsilon, std::type_identity<T>) {
    const Wide<Value> r = Wide<Value>(1.0) / sqrt(all.squares * Wide<Value>(1.0 / all.count) + Wide<Value>(epsilon));
    const Value m = converted<T>(all.mean);
    return {m, converted<T>(r), converted<T>((converted<double>(m) - all.mean) * r)};
  }
  CONVPROP_INLINE Value operator()(const Value& o) const { return fma(o - m, r, e); }
};

// What both have: weights and biases of the channels, and their gradients.
template <class T>
struct ImageNormOp {
  Shape shape;
  double epsilon;
  bool affine;
  ActivationLayer<T> activation;  // in place, behind it
  Maps<T> sums;                   // Σ delta · x^ and Σ delta of each map, of all blocks
  bool by_image = false;
  std::vector<T*> dw, db;         // a sum for each group

  ImageNormOp(const Description& description, const Shape& in)
      : shape(in), epsilon(description.number("epsilon")), affine(description.flag("affine")) {
    if (!(epsilon > 0)) description.refuse("epsilon must be above 0");
  }

  std::vector<std::vector<ptrdiff_t>> parameters() const {
    return affine ? std::vector<std::vector<ptrdiff_t>>{{shape.C}, {shape.C}} : std::vector<std::vector<ptrdiff_t>>{};
  }
  T* gradient(int parameter) const { return parameter == 0 ? dw[0] : db[0]; }
  Range gather(int parameter, const Step& step, int thread, int threads) const {
    const Range channels = share(shape.C, thread, threads);
    const auto& of_groups = parameter == 0 ? dw : db;
    for (int g = 0; g < step.groups.count(); g++)
      for (int c = channels.begin; c < channels.end; c++) {
        T sum = 0;
        for (int b = step.groups.blocks_in(g).begin; b < step.groups.blocks_in(g).end; b++) sum += sum_of_images(b, parameter, c, step.groups.images);
        of_groups[g][c] = sum;
      }
    add_groups(of_groups, step.groups.count(), channels);
    return channels;
  }

 protected:
  void place_sums(const Memory& memory) {
    by_image = memory.by_image;
    if (!memory.trains()) return;
    const Layout<T> layout{{1, 2, shape.C}, {}, memory.blocks};
    sums = layout.in(memory.take<T>(layout.size()));
    if (affine) dw = memory.sums<T>(shape.C), db = memory.sums<T>(shape.C);
  }
  // Maps beside those of the output, of the blocks or images that are carried at once.
  template <class U>
  std::vector<Maps<U>> beside(const Memory& memory, const Shape& of) const {
    return memory.maps(memory.copies(), Layout<U>{of, {}, memory.by_image ? memory.batch_size : memory.at_once, memory.by_image ? 1 : LANES});
  }
  // A sum of block b, or of image b.
  T* sum_at(int b, int which, int c) const { return by_image ? sums.at(0, 0, which, c) + b : sums.at(b, 0, which, c); }

  // Of a block's images; image by image, nothing is made of those that are not there.
  T sum_of_images(int b, int which, int c, int images) const {
    if (!by_image) return sum_of_lanes(Lanes<T>::load(sums.at(b, 0, which, c)));
    alignas(VECTOR_BYTES) T lanes[LANES] = {};
    std::copy_n(sums.at(b, 0, which, c), images, lanes);
    return sum_of_lanes(Lanes<T>::load(lanes));
  }

  T w(const Operands<T>& v, int c) const { return affine ? v.parameters[0][c] : T(1); }
  T b(const Operands<T>& v, int c) const { return affine ? v.parameters[1][c] : T(0); }

  // All threads of a unit meet where they share its blocks, or its only image.
  static void meet(const Share& at, bool shared) {
    if (shared && at.parts > 1) at.barrier->arrive_and_wait();
  }
  static bool single(const Share& at) { return at.step->groups.images == 1; }

  // Vectors of a row, each LANES numbers behind the last one: of sixteen images a pixel, of one sixteen.
  static int vectors_of(const Maps<T>& maps) { return lots(maps.W, maps.pixel == 1 ? LANES : 1); }

  // f(w · x^ + b); normalised(i) gives x^ in row i, of what stands so many numbers behind its beginning.
  template <class Normalised>
  void forward_maps(const Operands<T>& v, int block, Range channels, const Normalised& normalised) const {
    const Maps<T> o = v.in(), x = v.out();
    const int vectors = vectors_of(x);
    const bool scaled = affine;
    activation.inlined([&](const auto& known) {
      const auto f = known;
      for (int c = channels.begin; c < channels.end; c++) {
        const Lanes<T> weight = w(v, c), bias = b(v, c);
        for (int i = 0; i < x.H; i++) {
          const T* pixel = o.at(block, c, i, 0);
          T* to = x.at(block, c, i, 0);
          const auto of_row = normalised(i);
          for (ptrdiff_t p = 0; p < vectors * ptrdiff_t(LANES); p += LANES) {
            const Lanes<T> standard = of_row(p, Lanes<T>::load(pixel + p));
            f.forward(scaled ? fma(standard, weight, bias) : standard).store(to + p);
          }
        }
      }
    });
  }

  // The delta of w · x^ + b in the place of f's. Vectors of an image reach past a row's end, where the
  // next one must stay as it is.
  void through_activation(const Operands<T>& v, int block, Range channels) const {
    if (activation.identity()) return;
    if (!by_image) return activation.input_delta(v.delta(), v.out(), v.out(), v.delta(), block, channels);
    const Maps<T> delta = v.delta(), x = v.out();
    alignas(VECTOR_BYTES) T place[LANES];
    for (int l = 0; l < LANES; l++) place[l] = T(l);
    activation.inlined([&](const auto& f) {
      each_vector(delta, {block, block + 1}, channels, [&](int, int c, int i, int j) {
        const Lanes<T> error = Lanes<T>::load(delta.at(block, c, i, j));
        const Lanes<T> back = error * slope(f, x.at(block, c, i, j));
        select(Lanes<T>::load(place) < Lanes<T>(T(delta.W - j)), back, error).store(delta.at(block, c, i, j));
      });
    });
  }

  // Σ delta · x^ and Σ delta of some maps.
  template <class Value, class Normalised>
  void sum_maps(const Operands<T>& v, int block, Range channels, const Normalised& normalised) const {
    const Maps<T> o = v.in(), delta = v.delta();
    for (int c = channels.begin; c < channels.end; c++) {
      Value of_products = T(0), of_deltas = T(0);
      in_rows<Value>(o.H, [&](int i, auto rows) {
        constexpr int ROWS = decltype(rows)::value;
        const T *pixel = o.at(block, c, i, 0), *error = delta.at(block, c, i, 0);
        Value products[ROWS], deltas[ROWS];
        for (int r = 0; r < ROWS; r++) products[r] = deltas[r] = T(0);
        for (ptrdiff_t p = 0; p < o.W * o.pixel; p += o.pixel)
          for (int r = 0; r < ROWS; r++) {
            const Value given = Value::load(error + r * delta.row + p);
            products[r] = fma(given, normalised(i + r)(p, Value::load(pixel + r * o.row + p)), products[r]);
            deltas[r] = deltas[r] + given;
          }
        for (int r = 0; r < ROWS; r++) of_products = of_products + products[r], of_deltas = of_deltas + deltas[r];
      });
      of_products.store(sum_at(block, 0, c));
      of_deltas.store(sum_at(block, 1, c));
    }
  }

  // The delta of what it reads, in lanes taken through f' of the operation before; part_of(c, i) gives
  // it in a row, of o and delta so many numbers behind its beginning.
  template <class PartOf>
  static void send(const Operands<T>& v, int block, Range channels, Range rows, const PartOf& part_of) {
    const Maps<T> o = v.in(), delta = v.delta(), to = v.delta_in();
    const int vectors = vectors_of(to);
    const bool added = v.added();
    through(v).inlined([&](const auto& known) {
      const auto before = known;
      for (int c = channels.begin; c < channels.end; c++)
        for (int i = rows.begin; i < rows.end; i++) {
          const T *pixel = o.at(block, c, i, 0), *error = delta.at(block, c, i, 0);
          T* back = to.at(block, c, i, 0);
          const auto part = part_of(c, i);
          for (ptrdiff_t p = 0; p < vectors * ptrdiff_t(LANES); p += LANES) {
            const Lanes<T> own = Lanes<T>::load(pixel + p), sent = part(p, own, Lanes<T>::load(error + p));
            if constexpr (std::is_same_v<std::decay_t<decltype(before)>, Identity<T>>) put(sent, back + p, added);
            else (sent * before.derivative(own, own)).store(back + p);
          }
        }
    });
  }
  // -mean of g + w · delta - x^ · mean of g · x^, by one chain from 0, and times r.
  static CONVPROP_INLINE Lanes<T> sent(const Lanes<T>& w, const Lanes<T>& delta, const Lanes<T>& standard, const Lanes<T>& mean,
                                       const Lanes<T>& mean_product, const Lanes<T>& r) {
    return r * fma(-standard, mean_product, fma(w, delta, Lanes<T>(T(0)) - mean));
  }
};

template <class T>
struct GroupNormOp : ImageNormOp<T> {
  using Base = ImageNormOp<T>;
  using Base::shape;
  int groups;
  std::vector<Maps<double>> moments;  // mean and squares of each map

  static bool takes(const Description& description, const Way&) { return description.kind() == "group_norm"; }
  GroupNormOp(const Description& description, const Shape& in, const Way&) : Base(description, in), groups(description.integer("groups")) {
    if (groups < 1 || shape.C % groups) description.refuse("groups must divide the channels");
  }

  bool writes_through(bool added) const { return !added; }
  void place(const Memory& memory, bool) {
    moments = this->template beside<double>(memory, {1, 2, shape.C});
    this->place_sums(memory);
  }

  void forward(const Operands<T>& v, Range blocks, const Share& at) const {
    const Range channels = at.share_of(shape.C);
    for (int b = blocks.begin; b < blocks.end; b++) find_moments<Lanes<T>>(v, b, channels);
    this->meet(at, true);
    for (int b = blocks.begin; b < blocks.end; b++) normalise<Lanes<T>>(v, b, channels);
  }
  bool make_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    for (int b = blocks.begin; b < blocks.end; b++) find_sums<Lanes<T>>(v, b, at.share_of(shape.C));
    return true;
  }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    for (int b = blocks.begin; b < blocks.end; b++) send_back<Lanes<T>>(v, b, at.share_of(shape.C));
  }
  void forward_image(const Operands<T>& v, int n, Range maps, const Share& at) const {
    find_moments<Single<T>>(v, n, maps);
    this->meet(at, this->single(at));
    normalise<Single<T>>(v, n, maps);
  }
  void weight_gradient_image(const Operands<T>& v, int n, const Share&) const { find_sums<Single<T>>(v, n, {0, shape.C}); }
  void input_delta_image(const Operands<T>& v, int n, const Share&) const { send_back<Single<T>>(v, n, {0, shape.C}); }

  // r of each group, in maps of that shape.
  Shape scales_shape() const { return {groups, 1, 1}; }
  void scales(const Operands<T>& v, int block, const Maps<T>& to) const {
    for (int g = 0; g < groups; g++) normaliser<Lanes<T>>(v, block, g).r.store(to.at(block, g, 0, 0));
  }

 private:
  int each() const { return shape.C / groups; }

  // body(g, channels) for the groups that some channels are of.
  template <class Body>
  void each_group(Range channels, const Body& body) const {
    for (int g = channels.begin / each(); g * each() < channels.end; g++)
      body(g, Range{std::max(channels.begin, g * each()), std::min(channels.end, (g + 1) * each())});
  }
  template <class Value>
  Normaliser<Value> normaliser(const Operands<T>& v, int block, int g) const {
    const Maps<double> found = v.beside_out(moments);
    Moments<Wide<Value>> all;
    for (int c = each() * g; c < each() * (g + 1); c++)
      all.merge({double(shape.H) * shape.W, Wide<Value>::load(found.at(block, 0, 0, c)), Wide<Value>::load(found.at(block, 0, 1, c))});
    return Normaliser<Value>::of(all, this->epsilon, std::type_identity<T>());
  }
  static Lanes<T> spread(const Lanes<T>& value) { return value; }
  static Lanes<T> spread(Single<T> value) { return value.value; }

  template <class Value>
  void find_moments(const Operands<T>& v, int block, Range channels) const {
    const Maps<double> found = v.beside_out(moments);
    for (int c = channels.begin; c < channels.end; c++) {
      const auto of_map = map_moments<Value>(v.in(), block, c);
      of_map.mean.store(found.at(block, 0, 0, c));
      of_map.squares.store(found.at(block, 0, 1, c));
    }
  }
  template <class Value>
  void normalise(const Operands<T>& v, int block, Range channels) const {
    each_group(channels, [&](int g, Range own) {
      const auto found = normaliser<Value>(v, block, g);
      const Normaliser<Lanes<T>> all{spread(found.m), spread(found.r), spread(found.e)};
      this->forward_maps(v, block, own, [&](int) { return [all](ptrdiff_t, const Lanes<T>& o) { return all(o); }; });
    });
  }
  template <class Value>
  void find_sums(const Operands<T>& v, int block, Range channels) const {
    this->through_activation(v, block, channels);
    each_group(channels, [&](int g, Range own) {
      const auto all = normaliser<Value>(v, block, g);
      this->template sum_maps<Value>(v, block, own, [&](int) { return [all](ptrdiff_t, const Value& o) { return all(o); }; });
    });
  }
  template <class Value>
  void send_back(const Operands<T>& v, int block, Range channels) const {
    each_group(channels, [&](int g, Range own) {
      const auto found = normaliser<Value>(v, block, g);
      Wide<Value> products = 0.0, deltas = 0.0;
      for (int c = each() * g; c < each() * (g + 1); c++) {
        const Wide<Value> weight = double(this->w(v, c));
        products = fma(weight, converted<double>(Value::load(this->sum_at(block, 0, c))), products);
        deltas = fma(weight, converted<double>(Value::load(this->sum_at(block, 1, c))), deltas);
      }
      const Wide<Value> part = 1.0 / (double(each()) * shape.H * shape.W);
      const Lanes<T> mean = spread(converted<T>(deltas * part)), mean_product = spread(converted<T>(products * part));
      const Normaliser<Lanes<T>> all{spread(found.m), spread(found.r), spread(found.e)};
      this->send(v, block, own, {0, shape.H}, [&](int c, int) {
        return [=, weight = Lanes<T>(this->w(v, c))](ptrdiff_t, const Lanes<T>& o, const Lanes<T>& delta) {
          return Base::sent(weight, delta, all(o), mean, mean_product, all.r);
        };
      });
    });
  }
};

template <class T>
struct LayerNormOp : ImageNormOp<T> {
  using Base = ImageNormOp<T>;
  using Base::shape;
  std::vector<Maps<T>> normalisers;  // m, r and e of each pixel

  static bool takes(const Description& description, const Way&) { return description.kind() == "layer_norm"; }
  LayerNormOp(const Description& description, const Shape& in, const Way&) : Base(description, in) {}

  bool writes_through(bool added) const { return !added; }
  // Two sums for each pixel of a row.
  ptrdiff_t scratch(Mode) const { return room_for(2 * LANES, shape.W); }
  void place(const Memory& memory, bool) {
    // Of an image whole vectors, so that nothing reaches into another thread's row.
    const int columns = memory.by_image ? lots(shape.W, LANES) * LANES : shape.W;
    normalisers = this->template beside<T>(memory, {3, shape.H, columns});
    this->place_sums(memory);
  }

  void forward(const Operands<T>& v, Range blocks, const Share& at) const {
    for (int b = blocks.begin; b < blocks.end; b++) find_normalisers(v, b, at.share_of(shape.H));
    this->meet(at, true);
    for (int b = blocks.begin; b < blocks.end; b++) normalise(v, b, at.share_of(shape.C));
  }
  bool make_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    for (int b = blocks.begin; b < blocks.end; b++) find_sums<Lanes<T>>(v, b, at.share_of(shape.C));
    return true;
  }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    for (int b = blocks.begin; b < blocks.end; b++) send_back(v, b, at.share_of(shape.H));
  }
  void forward_image(const Operands<T>& v, int n, Range maps, const Share& at) const {
    find_normalisers(v, n, this->single(at) ? at.share_of(shape.H) : Range{0, shape.H});
    this->meet(at, this->single(at));
    normalise(v, n, maps);
  }
  void weight_gradient_image(const Operands<T>& v, int n, const Share&) const { find_sums<Single<T>>(v, n, {0, shape.C}); }
  void input_delta_image(const Operands<T>& v, int n, const Share&) const { send_back(v, n, {0, shape.H}); }

  // r of each pixel, in a map.
  Shape scales_shape() const { return {1, shape.H, shape.W}; }
  void scales(const Operands<T>& v, int block, const Maps<T>& to) const {
    const Maps<T> found = v.beside_out(normalisers);
    each_vector(to, {block, block + 1}, {0, 1}, [&](int, int, int i, int j) { Lanes<T>::load(found.at(block, 1, i, j)).store(to.at(block, 0, i, j)); });
  }

 private:
  // What gives x^ in a row, and r.
  struct OfRow {
    const T *m, *r, *e;

    OfRow(const Maps<T>& found, int block, int i) : m(found.at(block, 0, i, 0)), r(found.at(block, 1, i, 0)), e(found.at(block, 2, i, 0)) {}
    template <class Value>
    CONVPROP_INLINE Value operator()(ptrdiff_t p, const Value& o) const {
      return Normaliser<Value>{Value::load(m + p), Value::load(r + p), Value::load(e + p)}(o);
    }
  };
  // body(p, sums) for the vectors of a row, p numbers behind its beginning, with room for two sums each.
  template <class Body>
  static CONVPROP_INLINE void each_in_row(const Maps<T>& maps, T* sums, const Body& body) {
    const ptrdiff_t end = Base::vectors_of(maps) * ptrdiff_t(LANES);
    for (ptrdiff_t p = 0; p < end; p += LANES) body(p, sums + 2 * p);
  }

  void find_normalisers(const Operands<T>& v, int block, Range rows) const {
    const Maps<T> o = v.in(), found = v.beside_out(normalisers);
    const int C = shape.C;
    const Lanes<T> zero = T(0);
    const Lanes<double> part = 1.0 / C, count = double(C), nothing = 0.0;
    for (int i = rows.begin; i < rows.end; i++) {
      const T* middle = o.at(block, C / 2, i, 0);
      T *const m = found.at(block, 0, i, 0), *const r = found.at(block, 1, i, 0), *const e = found.at(block, 2, i, 0);
      each_in_row(o, v.scratch, [&](ptrdiff_t, T* sums) { zero.store(sums), zero.store(sums + LANES); });
      for (int c = 0; c < C; c++)
        each_in_row(o, v.scratch, [pixel = o.at(block, c, i, 0), middle](ptrdiff_t p, T* sums) {
          (Lanes<T>::load(sums) + (Lanes<T>::load(pixel + p) - Lanes<T>::load(middle + p))).store(sums);
        });
      const auto mean_of = [&](ptrdiff_t p, const T* sums) {
        return fma(converted<double>(Lanes<T>::load(sums)), part, converted<double>(Lanes<T>::load(middle + p)));
      };
      each_in_row(o, v.scratch, [&](ptrdiff_t p, T* sums) { converted<T>(mean_of(p, sums)).store(m + p); });
      for (int c = 0; c < C; c++)
        each_in_row(o, v.scratch, [pixel = o.at(block, c, i, 0), m](ptrdiff_t p, T* sums) {
          const Lanes<T> apart = Lanes<T>::load(pixel + p) - Lanes<T>::load(m + p);
          fma(apart, apart, Lanes<T>::load(sums + LANES)).store(sums + LANES);
        });
      each_in_row(o, v.scratch, [&](ptrdiff_t p, T* sums) {
        const Lanes<double> mean = mean_of(p, sums), off = converted<double>(Lanes<T>::load(m + p)) - mean;
        // About m there are as many times its distance to the mean too much.
        const Lanes<double> squares = fma(-(off * off), count, converted<double>(Lanes<T>::load(sums + LANES)));
        const Moments<Lanes<double>> all{double(C), mean, select(squares > nothing, squares, nothing)};
        const auto of_pixel = Normaliser<Lanes<T>>::of(all, this->epsilon, std::type_identity<T>());
        of_pixel.r.store(r + p);
        of_pixel.e.store(e + p);
      });
    }
  }
  void normalise(const Operands<T>& v, int block, Range channels) const {
    const Maps<T> found = v.beside_out(normalisers);
    this->forward_maps(v, block, channels, [&](int i) { return OfRow(found, block, i); });
  }
  template <class Value>
  void find_sums(const Operands<T>& v, int block, Range channels) const {
    const Maps<T> found = v.beside_out(normalisers);
    this->through_activation(v, block, channels);
    this->template sum_maps<Value>(v, block, channels, [&](int i) { return OfRow(found, block, i); });
  }
  void send_back(const Operands<T>& v, int block, Range rows) const {
    const Maps<T> o = v.in(), delta = v.delta(), found = v.beside_out(normalisers);
    const Lanes<T> part = T(1) / T(shape.C), zero = T(0);
    for (int i = rows.begin; i < rows.end; i++) {
      const OfRow of_row(found, block, i);
      each_in_row(o, v.scratch, [&](ptrdiff_t, T* sums) { zero.store(sums), zero.store(sums + LANES); });
      for (int c = 0; c < shape.C; c++)
        each_in_row(o, v.scratch,
                    [of_row, pixel = o.at(block, c, i, 0), error = delta.at(block, c, i, 0), weight = Lanes<T>(this->w(v, c))](ptrdiff_t p, T* sums) {
                      const Lanes<T> g = weight * Lanes<T>::load(error + p);
                      fma(g, of_row(p, Lanes<T>::load(pixel + p)), Lanes<T>::load(sums)).store(sums);
                      (Lanes<T>::load(sums + LANES) + g).store(sums + LANES);
                    });
      this->send(v, block, {0, shape.C}, {i, i + 1}, [&](int c, int) {
        return [of_row, part, sums = v.scratch, weight = Lanes<T>(this->w(v, c))](ptrdiff_t p, const Lanes<T>& pixel, const Lanes<T>& error) {
          const Lanes<T> mean = Lanes<T>::load(sums + 2 * p + LANES) * part, mean_product = Lanes<T>::load(sums + 2 * p) * part;
          return Base::sent(weight, error, of_row(p, pixel), mean, mean_product, Lanes<T>::load(of_row.r + p));
        };
      });
    }
  }
};

}  // namespace convprop
