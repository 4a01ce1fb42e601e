// Pooling: one value for each window of a map, and the routing of its delta back.
#pragma once

#include <algorithm>
#include <variant>

#include "ops/activation.h"
#include "ops/operands.h"

namespace convprop {

// Each is a type with its name; `Pooled<Value>`, which begins with a window's first pixel, adds the
// others in row order and stores the output; and `share_of`, which returns what a pixel gets of the
// window's delta. Value is what a pixel of the maps holds: Lanes<T>, or
// Single<T>. Places are indices i·W + j in the map. `through(delta, o)` takes an input's delta back
// through the operation before at once.

template <class T, class Value>
using PlaceOf = typename Value::template Of<typename Lanes<T>::Int>;

// Of truths, or of masks of lanes.
template <class Truth>
CONVPROP_INLINE Truth either(const Truth& a, const Truth& b) {
  if constexpr (std::is_same_v<Truth, bool>) return a || b;
  else return a | b;
}

// The largest. The first pixel in row order wins a tie, and a NaN wins over everything: nothing
// is <= it, and nothing displaces one. All of the delta goes to the winner.
template <class T>
struct MaxPooling {
  static constexpr const char* name = "max";
  static constexpr bool WINNER = true;

  template <class Value>
  struct Pooled {
    Value best;
    PlaceOf<T, Value> where;

    CONVPROP_INLINE Pooled(const Value& pixel, const PlaceOf<T, Value>& place) : best(pixel), where(place) {}
    CONVPROP_INLINE void add(const Value& pixel, const PlaceOf<T, Value>& place) {
      const auto stays = either(pixel <= best, best != best);
      best = select(stays, best, pixel);
      where = select(stays, where, place);
    }
    template <class Int>
    CONVPROP_INLINE void store(T, T* x, Int* winner) const {
      best.store(x);
      where.store(winner);
    }
  };

  template <class Value, class Where, class Through>
  static CONVPROP_INLINE auto share_of(const Value& delta, const Value& x, const Where& where, T, const Through& through) {
    return [won = through(delta, x), at = where()](const auto&, const PlaceOf<T, Value>& place) { return select(at == place, won, Value(T(0))); };
  }
};

// The mean: an equal share of the delta to every pixel of the window.
template <class T>
struct AveragePooling {
  static constexpr const char* name = "average";
  static constexpr bool WINNER = false;

  template <class Value>
  struct Pooled {
    Value sum;

    CONVPROP_INLINE Pooled(const Value& pixel, const PlaceOf<T, Value>&) : sum(Value(T(0)) + pixel) {}
    CONVPROP_INLINE void add(const Value& pixel, const PlaceOf<T, Value>&) { sum = sum + pixel; }
    template <class Int>
    CONVPROP_INLINE void store(T inverse_count, T* x, Int*) const {
      (sum * Value(inverse_count)).store(x);
    }
  };

  template <class Value, class Where, class Through>
  static CONVPROP_INLINE auto share_of(const Value& delta, const Value&, const Where&, T inverse_count, const Through& through) {
    return [part = delta * Value(inverse_count), &through](const auto& o, const auto&) { return through(part, o()); };
  }
};

// x = sqrt(sum of o²): ∂x/∂o = o / x, and 0 where x is 0.
template <class T>
struct L2Pooling {
  static constexpr const char* name = "l2";
  static constexpr bool WINNER = false;

  template <class Value>
  struct Pooled {
    Value sum;

    CONVPROP_INLINE Pooled(const Value& pixel, const PlaceOf<T, Value>&) : sum(fma(pixel, pixel, Value(T(0)))) {}
    CONVPROP_INLINE void add(const Value& pixel, const PlaceOf<T, Value>&) { sum = fma(pixel, pixel, sum); }
    template <class Int>
    CONVPROP_INLINE void store(T, T* x, Int*) const {
      sqrt(sum).store(x);
    }
  };

  template <class Value, class Where, class Through>
  static CONVPROP_INLINE auto share_of(const Value& delta, const Value& x, const Where&, T, const Through& through) {
    return [ratio = select(x > Value(T(0)), delta / x, Value(T(0))), &through](const auto& o, const auto&) {
      const Value pixel = o();
      return through(ratio * pixel, pixel);
    };
  }
};

// The poolings that there are.
template <class T>
using Poolings = std::variant<MaxPooling<T>, AveragePooling<T>, L2Pooling<T>>;

// What input_delta calls where a delta is to go no further.
inline constexpr auto no_further = [](const auto& share, const auto&) { return share; };

// One of them, over maps.
template <class T>
struct PoolLayer {
  using Int = typename Lanes<T>::Int;

  Poolings<T> pooling;
  int C, H, W, Ho, Wo;
  Window window;             // `after` has room for the overhang
  int overhang[2] = {0, 0};  // rows and columns that the last windows reach beyond the padding, in ceil mode
  bool count_padding;        // average: divide by the whole window, also where it hangs over the edge, but for the overhang

  PoolLayer(const Description& description, const Shape& in)
      : pooling(named<Poolings<T>>(description, "pool")),
        C(in.C),
        H(in.H),
        W(in.W),
        window(window_of(description, "size")),
        count_padding(description.flag("count_padding")) {
    for (int axis = 0; axis < 2; axis++) {
      if (description.has("dilation")) window.dilation[axis] = description.integers<2>("dilation")[axis];
      if (description.has("overhang")) overhang[axis] = description.integers<2>("overhang")[axis];
      if (overhang[axis] < 0 || window.after[axis] < 0 || overhang[axis] > LARGEST_SIZE - window.after[axis])
        description.refuse("its padding must not be negative, and fit");
      window.after[axis] += overhang[axis];
    }
    Ho = output_size(window, 0, H);
    Wo = output_size(window, 1, W);
    check_size("a pool's padded input", {C, window.padded(0, H), window.padded(1, W)});
    // So every window has a pixel: one that begins in the map its first, one that begins before the
    // map does not step over it.
    const int size[2] = {H, W};
    for (int axis = 0; axis < 2; axis++) {
      if (std::max(window.before[axis], window.after[axis]) >= window.reach(axis))
        throw std::invalid_argument("the padding of a pool must be smaller than its window");
      if (window.before[axis] && window.dilation[axis] > size[axis])
        throw std::invalid_argument("the dilation of a padded pool must not step over its maps");
    }
  }

  bool has_winner() const {
    return std::visit([](const auto& one) { return one.WINNER; }, pooling);
  }

  // Whether windows lie side by side, so that no pixel is under two of them.
  bool apart() const { return window.stride[0] >= window.reach(0) && window.stride[1] >= window.reach(1); }

  // Writes the outputs and, for max, where the winner of each lies.
  template <class Value = Lanes<T>>
  void forward(const Maps<T>& o, const Maps<T>& x, const Maps<Int>& winner, int block, Range channels) const {
    std::visit([&](const auto& one) {
      using Pooling = std::decay_t<decltype(one)>;
      if constexpr (std::is_same_v<Value, Lanes<T>>)
        if (two_by_two()) return forward_two_by_two<Pooling>(o, x, winner, block, channels);
      each_window(channels, [&](int c, int i, int j, const Region& r) {
        const T* corner = o.at(block, c, r.rows.first, r.columns.first);
        const ptrdiff_t down = r.rows.step * o.row, along = r.columns.step * o.pixel;
        typename Pooling::template Pooled<Value> pooled(Value::load(corner), Int(r.place(0, 0, W)));
        for (int p = 0; p < r.rows.count; p++)
          for (int q = p == 0; q < r.columns.count; q++) pooled.add(Value::load(corner + p * down + q * along), Int(r.place(p, q, W)));
        pooled.store(inverse_count(r), x.at(block, c, i, j), Pooling::WINNER ? winner.at(block, c, i, j) : nullptr);
      });
    }, pooling);
  }

  // Windows that overlap add up in row order. Where they do not, `through` may take a delta back
  // further at once: it is called with an input's delta and the input (of a max, the winner alone).
  // Added: to what delta_in holds.
  template <class Value = Lanes<T>, class Through = decltype(no_further)>
  void input_delta(const Maps<T>& delta, const Maps<T>& o, const Maps<T>& x, const Maps<Int>& winner, const Maps<T>& delta_in,
                   int block, Range channels, const Through& through = no_further, bool added = false) const {
    const bool alone = apart() && !added;
    const bool tiled = alone && window.stride[0] == window.size[0] && window.stride[1] == window.size[1] &&
                       Ho * window.size[0] - window.before[0] >= H && Wo * window.size[1] - window.before[1] >= W;
    for (int c = channels.begin; c < channels.end && !tiled && !added; c++)
      for (int i = 0; i < H; i++) std::fill_n(delta_in.at(block, c, i, 0), W * delta_in.pixel, T(0));
    std::visit([&](const auto& one) {
      using Pooling = std::decay_t<decltype(one)>;
      if constexpr (std::is_same_v<Value, Lanes<T>>)
        if (two_by_two())
          return added ? route_two_by_two<Pooling, true>(delta, o, x, winner, delta_in, block, channels, through)
                       : route_two_by_two<Pooling, false>(delta, o, x, winner, delta_in, block, channels, through);
      if (added && !apart()) return add_by_pixel<Pooling, Value>(delta, o, x, winner, delta_in, block, channels, through);
      each_window(channels, [&](int c, int i, int j, const Region& r) {
        const T* corner = o.at(block, c, r.rows.first, r.columns.first);
        T* corner_in = delta_in.at(block, c, r.rows.first, r.columns.first);
        const ptrdiff_t down = r.rows.step * o.row, along = r.columns.step * o.pixel;
        const ptrdiff_t down_in = r.rows.step * delta_in.row, along_in = r.columns.step * delta_in.pixel;
        const auto share = Pooling::share_of(
            Value::load(delta.at(block, c, i, j)), Value::load(x.at(block, c, i, j)),
            [&] { return PlaceOf<T, Value>::load(winner.at(block, c, i, j)); }, inverse_count(r), through);
        for (int p = 0; p < r.rows.count; p++)
          for (int q = 0; q < r.columns.count; q++) {
            T* to = corner_in + p * down_in + q * along_in;
            const Value part =
                share([&] { return Value::load(corner + p * down + q * along); }, PlaceOf<T, Value>(Int(r.place(p, q, W))));
            (alone ? part : Value::load(to) + part).store(to);
          }
      });
    }, pooling);
  }

  // For one image whose pixels are single numbers; windows of 2×2 that tile the map sixteen at once.
  void forward_image(const Maps<T>& o, const Maps<T>& x, const Maps<Int>& winner, int n, Range channels) const {
    if (!tiled_by_two()) return forward<Single<T>>(o, x, winner, n, channels);
    std::visit([&](const auto& one) {
      using Pooling = std::decay_t<decltype(one)>;
      for (int c = channels.begin; c < channels.end; c++)
        for (int i = 0; i < Ho; i++)
          for (int j = 0; j < Wo; j += LANES) {
            Lanes<T> pixel[4];
            for (int p = 0; p < 2; p++) {
              for (int q = 0; q < 2; q++) pixel[2 * p + q] = Lanes<T>::load(o.at(n, c, 2 * i + p, 2 * j + q * LANES));
              deinterleave(pixel[2 * p], pixel[2 * p + 1], parts());
            }
            pool_four<Pooling>(pixel, corners(i, j), x.at(n, c, i, j), Pooling::WINNER ? winner.at(n, c, i, j) : nullptr);
          }
    }, pooling);
  }

  void input_delta_image(const Maps<T>& delta, const Maps<T>& o, const Maps<T>& x, const Maps<Int>& winner, const Maps<T>& delta_in,
                         int n) const {
    if (!tiled_by_two() || !has_winner()) return input_delta<Single<T>>(delta, o, x, winner, delta_in, n, {0, C});
    const Lanes<T> zero = T(0);
    for (int c = 0; c < C; c++)
      for (int i = 0; i < H; i++)  // downwards, since a row's last vectors reach into the next ones
        for (int j = 0; j < Wo; j += LANES) {
          const Lanes<T> error = Lanes<T>::load(delta.at(n, c, i / 2, j));
          const Lanes<Int> where = Lanes<Int>::load(winner.at(n, c, i / 2, j)), left = corners(i / 2, j) + Lanes<Int>(Int(i % 2 * W));
          Lanes<T> even = select(where == left, error, zero), odd = select(where == left + Lanes<Int>(Int(1)), error, zero);
          interleave(even, odd, parts());
          even.store(delta_in.at(n, c, i, 2 * j));
          odd.store(delta_in.at(n, c, i, 2 * j + LANES));
        }
  }

 private:
  // The rows, or the columns, under a window, as far as they lie in the map: at least one. An average
  // divides by `counted` of them.
  struct Span {
    int first, step, count, counted;
  };
  // The pixels under a window: the crossings of its rows and columns.
  struct Region {
    Span rows, columns;

    int place(int p, int q, int width) const { return (rows.first + p * rows.step) * width + columns.first + q * columns.step; }
  };

  Span span(int axis, int output, int input_size) const {
    const int step = window.dilation[axis], size = window.size[axis], begin = output * window.stride[axis] - window.before[axis];
    // Without a division where there is no dilation: it takes longer than a small window.
    const auto steps = [step](int length) { return step == 1 ? length : lots(length, step); };
    const int before = begin < 0 ? steps(-begin) : 0;
    const auto ending = [&](int end) { return std::min(size, steps(end - begin)); };
    const int count = ending(input_size) - before;
    return {begin + before * step, step, count, count_padding ? ending(input_size + window.after[axis] - overhang[axis]) : count};
  }
  Region region(int i, int j) const { return {span(0, i, H), span(1, j, W)}; }

  T inverse_count(const Region& r) const { return T(1) / T(r.rows.counted * r.columns.counted); }

  static constexpr auto parts() { return std::make_integer_sequence<int, Lanes<T>::WIDTH>(); }
  // Windows of 2×2, side by side from the first corner on; and none of the map left over.
  bool two_by_two() const {
    return window.size[0] == 2 && window.size[1] == 2 && window.stride[0] == 2 && window.stride[1] == 2 &&
           window.dilation[0] == 1 && window.dilation[1] == 1 && !(window.before[0] || window.before[1] || window.after[0] || window.after[1]);
  }
  bool tiled_by_two() const { return two_by_two() && 2 * Ho == H && 2 * Wo == W; }

  // Windows of four pixels, in row order; `place` is that of the first.
  template <class Pooling>
  CONVPROP_INLINE void pool_four(const Lanes<T> (&pixel)[4], const Lanes<Int>& place, T* x, Int* winner) const {
    typename Pooling::template Pooled<Lanes<T>> pooled(pixel[0], place);
#pragma GCC unroll 4
    for (int u = 1; u < 4; u++) pooled.add(pixel[u], place + Lanes<Int>(Int(u / 2 * W + u % 2)));
    pooled.store(T(0.25), x, winner);
  }

  template <class Pooling>
  void forward_two_by_two(const Maps<T>& o, const Maps<T>& x, const Maps<Int>& winner, int block, Range channels) const {
    for (int c = channels.begin; c < channels.end; c++)
      for (int i = 0; i < Ho; i++) {
        const T *top = o.at(block, c, 2 * i, 0), *bottom = o.at(block, c, 2 * i + 1, 0);
        T* to = x.at(block, c, i, 0);
        Int* won = Pooling::WINNER ? winner.at(block, c, i, 0) : nullptr;
        for (int j = 0; j < Wo; j++, top += 2 * LANES, bottom += 2 * LANES, to += LANES, won += Pooling::WINNER ? LANES : 0) {
          const Lanes<T> pixel[4] = {Lanes<T>::load(top), Lanes<T>::load(top + LANES), Lanes<T>::load(bottom), Lanes<T>::load(bottom + LANES)};
          pool_four<Pooling>(pixel, Int(2 * i * W + 2 * j), to, won);
        }
      }
  }

  // input_delta() of windows of 2×2.
  template <class Pooling, bool ADDED, class Through>
  void route_two_by_two(const Maps<T>& delta, const Maps<T>& o, const Maps<T>& x, const Maps<Int>& winner, const Maps<T>& delta_in, int block,
                        Range channels, const Through& through) const {
    for (int c = channels.begin; c < channels.end; c++)
      for (int i = 0; i < Ho; i++) {
        const T *error = delta.at(block, c, i, 0), *pooled = x.at(block, c, i, 0), *pixel[2];
        const Int* where = Pooling::WINNER ? winner.at(block, c, i, 0) : nullptr;
        T* to[2];
        for (int p = 0; p < 2; p++) pixel[p] = o.at(block, c, 2 * i + p, 0), to[p] = delta_in.at(block, c, 2 * i + p, 0);
        for (int j = 0; j < Wo; j++) {
          const auto share = Pooling::share_of(Lanes<T>::load(error + j * LANES), Lanes<T>::load(pooled + j * LANES),
                                               [&] { return Lanes<Int>::load(where + j * LANES); }, T(0.25), through);
#pragma GCC unroll 2
          for (int p = 0; p < 2; p++)
#pragma GCC unroll 2
            for (int q = 0; q < 2; q++) {
              const Lanes<T> part =
                  share([&] { return Lanes<T>::load(pixel[p] + (2 * j + q) * LANES); }, Lanes<Int>(Int((2 * i + p) * W + 2 * j + q)));
              T* there = to[p] + (2 * j + q) * LANES;
              (ADDED ? Lanes<T>::load(there) + part : part).store(there);
            }
        }
      }
  }

  // input_delta() of windows that overlap, where others have written their deltas: each pixel's own sum
  // is made first, over the windows in row order, and then added.
  template <class Pooling, class Value, class Through>
  void add_by_pixel(const Maps<T>& delta, const Maps<T>& o, const Maps<T>& x, const Maps<Int>& winner, const Maps<T>& delta_in, int block,
                    Range channels, const Through& through) const {
    // The windows over a row or a column; where they are dilated, some of them may step over it.
    const auto over = [&](int axis, int at, int outputs) {
      const int last = at + window.before[axis], stride = window.stride[axis];
      const ptrdiff_t first = last - window.reach(axis) + 1;
      return Range{first <= 0 ? 0 : lots(int(first), stride), std::min(last / stride + 1, outputs)};
    };
    const auto sees = [&](int axis, int output, int at) {
      return (at + window.before[axis] - output * window.stride[axis]) % window.dilation[axis] == 0;
    };
    for (int c = channels.begin; c < channels.end; c++)
      for (int i = 0; i < H; i++)
        for (int j = 0; j < W; j++) {
          const Range rows = over(0, i, Ho), columns = over(1, j, Wo);
          Value sum = T(0);
          for (int u = rows.begin; u < rows.end; u++)
            for (int v = columns.begin; v < columns.end; v++) {
              if (!sees(0, u, i) || !sees(1, v, j)) continue;
              const auto share = Pooling::share_of(
                  Value::load(delta.at(block, c, u, v)), Value::load(x.at(block, c, u, v)),
                  [&] { return PlaceOf<T, Value>::load(winner.at(block, c, u, v)); }, inverse_count(region(u, v)), through);
              sum = sum + share([&] { return Value::load(o.at(block, c, i, j)); }, PlaceOf<T, Value>(Int(i * W + j)));
            }
          T* to = delta_in.at(block, c, i, j);
          (Value::load(to) + sum).store(to);
        }
  }

  // Where the windows of sixteen outputs from (i, j) on begin, as indices of the map.
  Lanes<Int> corners(int i, int j) const {
    alignas(VECTOR_BYTES) Int place[LANES];
    for (int l = 0; l < LANES; l++) place[l] = Int(2 * i * W + 2 * (j + l));
    return Lanes<Int>::load(place);
  }

  // body(c, i, j, region) for every window.
  template <class Body>
  void each_window(Range channels, const Body& body) const {
    for (int c = channels.begin; c < channels.end; c++)
      for (int i = 0; i < Ho; i++) {
        const Span rows = span(0, i, H);
        for (int j = 0; j < Wo; j++) body(c, i, j, {rows, span(1, j, W)});
      }
  }
};

template <class T>
struct PoolOp {
  using Int = typename Lanes<T>::Int;
  PoolLayer<T> layer;
  Shape shape;
  std::vector<Maps<Int>> winner;

  static bool takes(const Description& description, const Way&) { return description.kind() == "pool"; }
  PoolOp(const Description& description, const Shape& in, const Way&)
      : layer(description, in), shape{layer.C, layer.Ho, layer.Wo} {}

  bool writes_through(bool added) const { return layer.apart() && !added; }
  void place(const Memory& memory, bool) {
    if (!layer.has_winner()) return;
    const bool by_image = memory.by_image;
    winner = memory.maps(memory.copies(), Layout<Int>{shape, {}, by_image ? memory.batch_size : memory.carried(), by_image ? 1 : LANES});
  }

  void forward(const Operands<T>& v, Range blocks, const Share& at) const {
    const Maps<Int> won = v.beside_out(winner);
    for (int b = blocks.begin; b < blocks.end; b++) layer.forward(v.in(), v.out(), won, b, at.share_of(shape.C));
  }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    const Maps<Int> won = v.beside_out(winner);
    const auto route = [&](const auto& through) {
      for (int b = blocks.begin; b < blocks.end; b++)
        layer.input_delta(v.delta(), v.in(), v.out(), won, v.delta_in(), b, at.share_of(shape.C), through, v.added());
    };
    if (!v.through()) return route(no_further);
    v.through()->inlined([&](const auto& f) { route([&](const Lanes<T>& share, const Lanes<T>& o) { return share * f.derivative(o, o); }); });
  }
  void forward_image(const Operands<T>& v, int n, Range maps, const Share&) const {
    layer.forward_image(v.in(), v.out(), v.beside_out(winner), n, maps);
  }
  void input_delta_image(const Operands<T>& v, int n, const Share&) const {
    layer.input_delta_image(v.delta(), v.in(), v.out(), v.beside_out(winner), v.delta_in(), n);
  }
};

}  // namespace convprop
