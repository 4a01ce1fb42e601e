// Pooling: one value for each window of a map, and the routing of its delta back.
#pragma once

#include <algorithm>

#include "geometry.h"
#include "layout.h"

namespace convprop {

enum class Pooling { max, average, l2 };

// What input_delta calls where a delta is to go no further.
inline constexpr auto no_further = [](const auto& share, const auto&) { return share; };

template <class T>
struct PoolLayer {
  using Int = typename Lanes<T>::Int;

  Pooling kind;
  int C, H, W, Ho, Wo;
  Window window;
  bool count_padding;  // average: divide by the whole window, also where it hangs over the edge

  PoolLayer(Pooling kind_, int channels, int height, int width, const Window& window_, bool count_padding_)
      : kind(kind_), C(channels), H(height), W(width), window(window_), count_padding(count_padding_) {
    Ho = output_size(window, 0, H);
    Wo = output_size(window, 1, W);
    check_size("a pool's padded input", {C, window.padded(0, H), window.padded(1, W)});
    for (int axis = 0; axis < 2; axis++)
      if (std::max(window.before[axis], window.after[axis]) >= window.size[axis])
        throw std::invalid_argument("the padding of a pool must be smaller than its window");
  }

  // The pixels under window (i, j), clipped to the map.
  struct Region {
    int top, bottom, left, right;
    int pixels() const { return (bottom - top) * (right - left); }
  };

  Region region(int i, int j) const {
    const int top = i * window.stride[0] - window.before[0], left = j * window.stride[1] - window.before[1];
    return {std::max(top, 0), std::min(top + window.size[0], H), std::max(left, 0), std::min(left + window.size[1], W)};
  }

  // Whether no pixel lies under two windows.
  bool apart() const { return window.stride[0] >= window.size[0] && window.stride[1] >= window.size[1]; }

  T inverse_count(const Region& r) const {
    return T(1) / T(count_padding ? window.size[0] * window.size[1] : std::max(r.pixels(), 1));
  }

  // Writes the outputs and, for max, where the winner of each lies: its index i·W + j in the
  // map. The first pixel in row order wins a tie; a NaN wins over everything. Value is what a
  // pixel of the maps holds: Lanes<T>, or Single<T>.
  template <class Value = Lanes<T>>
  void forward(const Maps<T>& o, const Maps<T>& x, const Maps<Int>& winner, int block, Range channels) const {
    if constexpr (std::is_same_v<Value, Lanes<T>>)
      if (two_by_two()) return forward_two_by_two(o, x, winner, block, channels);
    using Place = typename Value::template Of<Int>;
    each_window(channels, [&](int c, int i, int j, const Region& r, auto for_pixels) {
      const T* corner = o.at(block, c, r.top, r.left);
      if (kind == Pooling::max) {
        Value best = Value::load(corner);
        Place where = Int(r.top * W + r.left);
        for_pixels(r, [&](int p, int q) {
          const Value pixel = Value::load(corner + p * o.row + q * o.pixel);
          // A NaN is not <= anything, and nothing displaces one.
          const auto stays = pixel <= best, displaced = best == best;
          where = select(displaced, select(stays, where, Place(Int((r.top + p) * W + r.left + q))), where);
          best = select(displaced, select(stays, best, pixel), best);
        });
        best.store(x.at(block, c, i, j));
        where.store(winner.at(block, c, i, j));
      } else {
        Value sum = T(0);
        for_pixels(r, [&](int p, int q) {
          const Value pixel = Value::load(corner + p * o.row + q * o.pixel);
          sum = kind == Pooling::l2 ? fma(pixel, pixel, sum) : sum + pixel;
        });
        (kind == Pooling::l2 ? sqrt(sum) : sum * Value(inverse_count(r))).store(x.at(block, c, i, j));
      }
    });
  }

  // Max: all of delta to the winner. Average: an equal share to every pixel of the window.
  // L2, x = sqrt(sum of o²): ∂x/∂o = o / x, and 0 where x is 0. Windows that overlap add up
  // in row order. Where they do not, `through` may take a delta back further at once: it is
  // called with an input's delta and the input (of a max, the winner alone).
  template <class Value = Lanes<T>, class Through = decltype(no_further)>
  void input_delta(const Maps<T>& delta, const Maps<T>& o, const Maps<T>& x, const Maps<Int>& winner, const Maps<T>& delta_in,
                   int block, Range channels, const Through& through = no_further) const {
    using Place = typename Value::template Of<Int>;
    const bool tiled = apart() && window.stride[0] == window.size[0] && window.stride[1] == window.size[1] &&
                       Ho * window.size[0] - window.before[0] >= H && Wo * window.size[1] - window.before[1] >= W;
    const bool alone = apart();
    for (int c = channels.begin; c < channels.end && !tiled; c++)
      for (int i = 0; i < H; i++) std::fill_n(delta_in.at(block, c, i, 0), W * delta_in.pixel, T(0));
    if constexpr (std::is_same_v<Value, Lanes<T>>)
      if (two_by_two()) return route_two_by_two(delta, o, x, winner, delta_in, block, channels, through);
    each_window(channels, [&](int c, int i, int j, const Region& r, auto for_pixels) {
      const T* corner = o.at(block, c, r.top, r.left);
      T* corner_in = delta_in.at(block, c, r.top, r.left);
      const Value error = Value::load(delta.at(block, c, i, j));
      const auto route = [&](auto share_of) {
        for_pixels(r, [&](int p, int q) {
          T* to = corner_in + p * delta_in.row + q * delta_in.pixel;
          const Value share = share_of(p, q);
          (alone ? share : Value::load(to) + share).store(to);
        });
      };
      if (kind == Pooling::max) {
        const Place where = Place::load(winner.at(block, c, i, j));
        const Value won = through(error, Value::load(x.at(block, c, i, j))), zero = T(0);
        route([&](int p, int q) { return select(where == Place(Int((r.top + p) * W + r.left + q)), won, zero); });
      } else if (kind == Pooling::average) {
        const Value part = error * Value(inverse_count(r));
        route([&](int p, int q) { return through(part, Value::load(corner + p * o.row + q * o.pixel)); });
      } else {
        const Value norm = Value::load(x.at(block, c, i, j)), zero = T(0);
        const Value ratio = select(norm > zero, error / norm, zero);
        route([&](int p, int q) {
          const Value pixel = Value::load(corner + p * o.row + q * o.pixel);
          return through(ratio * pixel, pixel);
        });
      }
    });
  }

  // For one image whose pixels are single numbers; windows of 2×2 that tile the map sixteen at once.
  void forward_image(const Maps<T>& o, const Maps<T>& x, const Maps<Int>& winner, int n, Range channels) const {
    if (!tiled_by_two()) return forward<Single<T>>(o, x, winner, n, channels);
    for (int c = channels.begin; c < channels.end; c++)
      for (int i = 0; i < Ho; i++)
        for (int j = 0; j < Wo; j += LANES) {
          Lanes<T> pixel[4];
          for (int p = 0; p < 2; p++) {
            for (int q = 0; q < 2; q++) pixel[2 * p + q] = Lanes<T>::load(o.at(n, c, 2 * i + p, 2 * j + q * LANES));
            deinterleave(pixel[2 * p], pixel[2 * p + 1], parts());
          }
          pool_four(pixel, corners(i, j), x.at(n, c, i, j), kind == Pooling::max ? winner.at(n, c, i, j) : nullptr);
        }
  }

  void input_delta_image(const Maps<T>& delta, const Maps<T>& o, const Maps<T>& x, const Maps<Int>& winner, const Maps<T>& delta_in,
                         int n) const {
    if (!tiled_by_two() || kind != Pooling::max) return input_delta<Single<T>>(delta, o, x, winner, delta_in, n, {0, C});
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
  static constexpr auto parts() { return std::make_integer_sequence<int, Lanes<T>::WIDTH>(); }
  // Windows of 2×2, side by side from the first corner on; and none of the map left over.
  bool two_by_two() const {
    return window.size[0] == 2 && window.size[1] == 2 && window.stride[0] == 2 && window.stride[1] == 2 &&
           !(window.before[0] || window.before[1] || window.after[0] || window.after[1]);
  }
  bool tiled_by_two() const { return two_by_two() && 2 * Ho == H && 2 * Wo == W; }

  // Windows of four pixels, in row order; `place` is that of the first.
  CONVPROP_INLINE void pool_four(const Lanes<T> (&pixel)[4], const Lanes<Int>& place, T* x, Int* winner) const {
    if (kind == Pooling::max) {
      Lanes<T> best = pixel[0];
      Lanes<Int> where = place;
#pragma GCC unroll 4
      for (int u = 1; u < 4; u++) {
        const auto stays = (pixel[u] <= best) | (best != best);
        best = select(stays, best, pixel[u]);
        where = select(stays, where, place + Lanes<Int>(Int(u / 2 * W + u % 2)));
      }
      best.store(x);
      where.store(winner);
    } else {
      Lanes<T> sum = T(0);
#pragma GCC unroll 4
      for (int u = 0; u < 4; u++) sum = kind == Pooling::l2 ? fma(pixel[u], pixel[u], sum) : sum + pixel[u];
      (kind == Pooling::l2 ? sqrt(sum) : sum * Lanes<T>(T(0.25))).store(x);
    }
  }

  void forward_two_by_two(const Maps<T>& o, const Maps<T>& x, const Maps<Int>& winner, int block, Range channels) const {
    for (int c = channels.begin; c < channels.end; c++)
      for (int i = 0; i < Ho; i++) {
        const T *top = o.at(block, c, 2 * i, 0), *bottom = o.at(block, c, 2 * i + 1, 0);
        T* to = x.at(block, c, i, 0);
        Int* won = kind == Pooling::max ? winner.at(block, c, i, 0) : nullptr;
        for (int j = 0; j < Wo; j++, top += 2 * LANES, bottom += 2 * LANES, to += LANES, won += won ? LANES : 0) {
          const Lanes<T> pixel[4] = {Lanes<T>::load(top), Lanes<T>::load(top + LANES), Lanes<T>::load(bottom), Lanes<T>::load(bottom + LANES)};
          pool_four(pixel, Int(2 * i * W + 2 * j), to, won);
        }
      }
  }

  // input_delta() of windows of 2×2.
  template <class Through>
  void route_two_by_two(const Maps<T>& delta, const Maps<T>& o, const Maps<T>& x, const Maps<Int>& winner, const Maps<T>& delta_in, int block,
                        Range channels, const Through& through) const {
    const Lanes<T> zero = T(0), quarter = T(0.25);
    const int width = W;
    for (int c = channels.begin; c < channels.end; c++)
      for (int i = 0; i < Ho; i++) {
        const T *error = delta.at(block, c, i, 0), *pooled = x.at(block, c, i, 0), *pixel[2];
        const Int* where = kind == Pooling::max ? winner.at(block, c, i, 0) : nullptr;
        T* to[2];
        for (int p = 0; p < 2; p++) pixel[p] = o.at(block, c, 2 * i + p, 0), to[p] = delta_in.at(block, c, 2 * i + p, 0);
        // share_of(j) gives what each of the four pixels of window j gets.
        const auto windows = [&](const auto& share_of) {
          for (int j = 0; j < Wo; j++) {
            const auto share = share_of(j);
#pragma GCC unroll 2
            for (int p = 0; p < 2; p++)
#pragma GCC unroll 2
              for (int q = 0; q < 2; q++) share(p, q).store(to[p] + (2 * j + q) * LANES);
          }
        };
        const auto own = [&](int j, int p, int q) { return Lanes<T>::load(pixel[p] + (2 * j + q) * LANES); };
        if (kind == Pooling::max)
          windows([&](int j) {
            const Lanes<T> won = through(Lanes<T>::load(error + j * LANES), Lanes<T>::load(pooled + j * LANES));
            const Lanes<Int> place = Lanes<Int>::load(where + j * LANES);
            return [=](int p, int q) { return select(place == Lanes<Int>(Int((2 * i + p) * width + 2 * j + q)), won, zero); };
          });
        else if (kind == Pooling::average)
          windows([&](int j) {
            const Lanes<T> part = Lanes<T>::load(error + j * LANES) * quarter;
            return [=, &through](int p, int q) { return through(part, own(j, p, q)); };
          });
        else
          windows([&](int j) {
            const Lanes<T> norm = Lanes<T>::load(pooled + j * LANES);
            const Lanes<T> ratio = select(norm > zero, Lanes<T>::load(error + j * LANES) / norm, zero);
            return [=, &through](int p, int q) { return through(ratio * own(j, p, q), own(j, p, q)); };
          });
      }
  }

  // Where the windows of sixteen outputs from (i, j) on begin, as indices of the map.
  Lanes<Int> corners(int i, int j) const {
    alignas(VECTOR_BYTES) Int place[LANES];
    for (int l = 0; l < LANES; l++) place[l] = Int(2 * i * W + 2 * (j + l));
    return Lanes<Int>::load(place);
  }

  // body(c, i, j, region, for_pixels) for every window; for_pixels(region, f) calls f(p, q) on
  // its pixels, counted from its corner. Those of 2×2 have it unrolled.
  template <class Body>
  void each_window(Range channels, const Body& body) const {
    const auto any = [](const Region& r, const auto& f) {
      for (int p = 0; p < r.bottom - r.top; p++)
        for (int q = 0; q < r.right - r.left; q++) f(p, q);
    };
    const auto four = [](const Region&, const auto& f) { f(0, 0), f(0, 1), f(1, 0), f(1, 1); };
    const bool whole = two_by_two();
    for (int c = channels.begin; c < channels.end; c++)
      for (int i = 0; i < Ho; i++)
        for (int j = 0; j < Wo; j++) {
          if (whole) body(c, i, j, region(i, j), four);
          else body(c, i, j, region(i, j), any);
        }
  }
};

}  // namespace convprop
