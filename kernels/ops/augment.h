// Random changes of a training image that leave its class as it is.
//
// What becomes of an image is a function of the seed, the epoch and its row in the data: neither
// its place in a batch nor threads nor restarts show. Everything that moves pixels is one map from
// an output pixel p, counted from the middle of the image, to the place it is read from,
//
//   place = S · F · R(-angle) (p + e(p) - shift) / zoom + c
//
// with e the elastic displacement, F the flips, S and c the crop's size and middle; what lies
// between pixels is interpolated, what lies beyond the edge is the edge's. Then come contrast,
// brightness, noise and the erased rectangle.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "machine/lane_math.h"
#include "machine/random.h"
#include "maps/layout.h"

namespace convprop {

struct Augmentation {
  int shift[2] = {0, 0};              // pixels at most, down and right, or up and left
  double flip[2] = {0, 0};            // probabilities: top for bottom, left for right
  double rotation = 0;                // turns at most, either way
  double zoom = 0;                    // larger or smaller by 1 + zoom at most
  double crop = 1;                    // at least this part of height and width, enlarged to the whole
  double elastic = 0, spacing = 8;    // pixels that a knot moves at most, and from knot to knot
  double brightness = 0, noise = 0;   // standard deviations of the training images: at most, and of each pixel
  double contrast = 0;                // stronger or weaker by 1 + contrast at most
  double erase = 0;                   // probability
  double erased[2] = {0.1, 0.4};      // parts of height and of width

  bool moves() const { return shift[0] || shift[1] || flip[0] > 0 || flip[1] > 0 || resamples(); }
  // Whether places lie between pixels.
  bool resamples() const { return rotation > 0 || zoom > 0 || crop < 1 || elastic > 0; }
};

// The random words of one image, in blocks of sixty-four.
struct ImageRandom {
  uint64_t seed, epoch, row;

  RandomLanes block(uint32_t n) const {
    RandomLanes r;
    for (int l = 0; l < LANES; l++) {
      r.word[0][l] = n * LANES + l;
      r.word[1][l] = uint32_t(epoch);
      r.word[2][l] = uint32_t(row);
      r.word[3][l] = uint32_t(row >> 32);
    }
    philox(r, seed ^ 0x6175676D656E7421u);  // "augment!": apart from dropout and every random_bits stream
    return r;
  }
};

// Cosine and sine of an angle in turns, by their Taylor series.
inline void rotate_by(double turns, double& cosine, double& sine) {
  const double x = 6.283185307179586 * turns;
  double term = 1;
  cosine = sine = 0;
  for (int n = 0; n < 32; n += 2) {
    cosine += term;
    term *= x / (n + 1);
    sine += term;
    term *= -x / (n + 2);
  }
}

// The same in lanes, 0 <= turns <= 1: the nearest quarter turn, and the rest by the series.
template <class T>
CONVPROP_INLINE void rotate_by(const Lanes<T>& turns, Lanes<T>& cosine, Lanes<T>& sine) {
  using Int = typename Lanes<T>::Int;
  const Lanes<T> shift = T(1.5) * T(Int(1) << FloatFormat<T>::MANTISSA);
  const Lanes<T> shifted = turns * Lanes<T>(T(4)) + shift;
  const IntLanes<T> quarter = bits_of(shifted) & IntLanes<T>(Int(3));
  const Lanes<T> x = (turns - (shifted - shift) * Lanes<T>(T(0.25))) * Lanes<T>(T(6.283185307179586)), x2 = x * x;
  // |x| <= pi/4: the first terms left out are below a unit in the last place.
  constexpr int TERMS = sizeof(T) == 4 ? 5 : 9;
  Lanes<T> c = inverse_factorial<T>(2 * TERMS), s = inverse_factorial<T>(2 * TERMS + 1);
#pragma GCC unroll 16
  for (int n = TERMS - 1; n >= 0; n--) {
    c = Lanes<T>(inverse_factorial<T>(2 * n)) - c * x2;
    s = Lanes<T>(inverse_factorial<T>(2 * n + 1)) - s * x2;
  }
  s = s * x;
  const auto odd = (quarter & IntLanes<T>(Int(1))) == IntLanes<T>(Int(1));
  const auto low = (quarter == IntLanes<T>(Int(1))) | (quarter == IntLanes<T>(Int(2)));
  const auto high = (quarter == IntLanes<T>(Int(2))) | (quarter == IntLanes<T>(Int(3)));
  const Lanes<T> a = select(odd, s, c), b = select(odd, c, s);
  cosine = select(low, -a, a);
  sine = select(high, -b, b);
}

// Changes images one after another; holds the room that this takes.
template <class T>
class Augmenter {
 public:
  // Of each channel: the training images' mean and standard deviation.
  Augmenter(const Augmentation& how, Shape shape, const T* mean, const T* deviation)
      : how_(how), shape_(shape), mean_(mean), deviation_(deviation), knot_rows_(knots(shape.H)), knot_columns_(knots(shape.W)),
        top_(shape.W), left_(shape.W), down_(shape.W), right_(shape.W), displaced_{std::vector<T>(shape.W), std::vector<T>(shape.W)},
        knot_(how.elastic > 0 ? 2 * size_t(knot_rows_) * knot_columns_ : 0), row_of_knots_(knot_columns_) {
    for (int j = 0; j < shape.W; j++) columns_.push_back(spline(j));
  }

  // The image of `random` as out[C][H][W].
  template <class Pixel>
  void operator()(const Pixel* image, const ImageRandom& random, T* out) {
    const RandomLanes words = random.block(0);
    word_ = &words;
    if (how_.resamples()) resample(image, random, out);
    else move(image, out);
    shade(out);
    if (how_.noise > 0) add_noise(random, out);
    if (uniform(12) < how_.erase) erase(out);
  }

 private:
  int knots(int pixels) const { return int((pixels - 1) / how_.spacing) + 4; }
  double uniform(int k) const { return word_->word[k % 4][k / 4] * 0x1p-32; }
  double symmetric(int k) const { return 2 * uniform(k) - 1; }
  // Between 1 / (1 + most) and 1 + most.
  static double factor(double most, double v) { return v >= 0 ? 1 + most * v : 1 / (1 - most * v); }
  ptrdiff_t shift(int axis) const { return ptrdiff_t(uniform(axis) * (2.0 * how_.shift[axis] + 1)) - how_.shift[axis]; }
  bool flipped(int axis) const { return uniform(2 + axis) < how_.flip[axis]; }

  // By whole pixels.
  template <class Pixel>
  void move(const Pixel* image, T* out) {
    const auto [C, H, W] = shape_;
    const auto place = [&](int axis, int size, int p) {
      const int from = int(std::clamp(p - shift(axis), ptrdiff_t(0), ptrdiff_t(size) - 1));
      return flipped(axis) ? size - 1 - from : from;
    };
    for (int j = 0; j < W; j++) left_[j] = place(1, W, j);
    for (int c = 0; c < C; c++)
      for (int i = 0; i < H; i++, out += W) {
        const Pixel* row = image + (ptrdiff_t(c) * H + place(0, H, i)) * W;
        for (int j = 0; j < W; j++) out[j] = T(row[left_[j]]);
      }
  }

  template <class Pixel>
  void resample(const Pixel* image, const ImageRandom& random, T* out) {
    const auto [C, H, W] = shape_;
    double cosine, sine;
    rotate_by(how_.rotation * symmetric(4), cosine, sine);
    const double zoom = factor(how_.zoom, symmetric(5));
    double scale[2], middle[2];
    const int size[2] = {H, W};
    for (int axis = 0; axis < 2; axis++) {
      const double part = 1 - (1 - how_.crop) * uniform(6 + axis);
      scale[axis] = (flipped(axis) ? -part : part) / zoom;
      middle[axis] = (size[axis] - 1) / 2.0 + (1 - part) * size[axis] / 2 * symmetric(8 + axis);
    }
    const T m[2][2] = {{T(scale[0] * cosine), T(scale[0] * sine)}, {T(-scale[1] * sine), T(scale[1] * cosine)}};
    const T c0 = T(middle[0]), c1 = T(middle[1]), last_row = below(H), last_column = below(W);
    const T up = T((H - 1) / 2.0 + shift(0)), back = T((W - 1) / 2.0 + shift(1));
    if (how_.elastic > 0) draw_knots(random);
    for (int i = 0; i < H; i++) {
      if (how_.elastic > 0) displace(i);
      for (int j = 0; j < W; j++) {
        const T y = T(i) - up + displaced_[0][j], x = T(j) - back + displaced_[1][j];
        const T row = within(m[0][0] * y + m[0][1] * x + c0, last_row);
        const T column = within(m[1][0] * y + m[1][1] * x + c1, last_column);
        top_[j] = int(row), left_[j] = int(column);
        down_[j] = row - T(top_[j]), right_[j] = column - T(left_[j]);
      }
      for (int c = 0; c < C; c++) {
        const Pixel* map = image + ptrdiff_t(c) * H * W;
        T* to = out + (ptrdiff_t(c) * H + i) * W;
        for (int j = 0; j < W; j++) {
          const Pixel *above = map + ptrdiff_t(top_[j]) * W, *below = above + (top_[j] + 1 < H ? W : 0);
          const int left = left_[j], right = left + (left + 1 < W ? 1 : 0);
          const T a = between(T(above[left]), T(above[right]), right_[j]), b = between(T(below[left]), T(below[right]), right_[j]);
          to[j] = between(a, b, down_[j]);
        }
      }
    }
  }
  // Between 0 and last; NaN, which sums of huge displacements may be, is 0.
  static T within(T place, T last) { return place > T(0) ? std::min(place, last) : T(0); }
  // The last place of a row or column, or the number next to it where T has no such one.
  static T below(int size) {
    const T last = T(size - 1);
    return double(last) < size ? last : std::nextafter(last, T(0));
  }
  static T between(T a, T b, T part) { return a + part * (b - a); }

  void draw_knots(const ImageRandom& random) {
    RandomLanes words;
    for (size_t k = 0; k < knot_.size(); k++) {
      if (k % 64 == 0) words = random.block(1 + uint32_t(k / 64));
      knot_[k] = T(how_.elastic * (words.word[k % 4][k / 4 % LANES] * 0x1p-31 - 1));
    }
  }
  uint32_t first_noise_block() const { return 1 + uint32_t((knot_.size() + 63) / 64); }

  // e in row i: cubic B-splines of the knots, down the columns of knots and then along the row.
  void displace(int i) {
    const Spline of_row = spline(i);
    for (int axis = 0; axis < 2; axis++) {
      const T* knot = knot_.data() + ptrdiff_t(axis * knot_rows_ + of_row.first) * knot_columns_;
      for (int k = 0; k < knot_columns_; k++) {
        T sum = 0;
        for (int p = 0; p < 4; p++) sum += of_row.weight[p] * knot[p * knot_columns_ + k];
        row_of_knots_[k] = sum;
      }
      for (int j = 0; j < shape_.W; j++) {
        const Spline& of_column = columns_[j];
        T sum = 0;
        for (int q = 0; q < 4; q++) sum += of_column.weight[q] * row_of_knots_[of_column.first + q];
        displaced_[axis][j] = sum;
      }
    }
  }
  struct Spline {
    int first;
    T weight[4];
  };
  Spline spline(int p) const {
    const double at = p / how_.spacing;
    const int first = int(at);
    const double t = at - first, s = 1 - t;
    return {first, {T(s * s * s / 6), T((t * t * (3 * t - 6) + 4) / 6), T((s * s * (3 * s - 6) + 4) / 6), T(t * t * t / 6)}};
  }

  void shade(T* out) const {
    if (how_.brightness == 0 && how_.contrast == 0) return;
    const double stronger = factor(how_.contrast, symmetric(11)), brighter = how_.brightness * symmetric(10);
    const ptrdiff_t pixels = ptrdiff_t(shape_.H) * shape_.W;
    for (int c = 0; c < shape_.C; c++, out += pixels) {
      const T scale = T(stronger), plus = T(double(mean_[c]) * (1 - stronger) + brighter * double(deviation_[c]));
      for (ptrdiff_t p = 0; p < pixels; p++) out[p] = out[p] * scale + plus;
    }
  }

  // Normal numbers by Box and Muller, "A note on the generation of random normal deviates" (1958).
  void add_noise(const ImageRandom& random, T* out) const {
    const ptrdiff_t pixels = ptrdiff_t(shape_.H) * shape_.W, all = pixels * shape_.C;
    uint32_t block = first_noise_block();
    for (ptrdiff_t p = 0; p < all; p += 4 * LANES) {
      const RandomLanes words = random.block(block++);
      alignas(VECTOR_BYTES) T normal[4 * LANES];
      for (int pair = 0; pair < 2; pair++) {
        alignas(VECTOR_BYTES) T first[LANES], second[LANES];
        for (int l = 0; l < LANES; l++) {
          first[l] = (T(words.word[2 * pair][l]) + T(0.5)) * T(0x1p-32);
          second[l] = T(words.word[2 * pair + 1][l]) * T(0x1p-32);
        }
        Lanes<T> cosine, sine;
        rotate_by(Lanes<T>::load(second), cosine, sine);
        const Lanes<T> radius = sqrt(log(Lanes<T>::load(first)) * Lanes<T>(T(-2)));
        (radius * cosine).store(normal + 2 * pair * LANES);
        (radius * sine).store(normal + (2 * pair + 1) * LANES);
      }
      for (ptrdiff_t q = p; q < std::min(p + 4 * LANES, all); q++) out[q] += T(how_.noise) * deviation_[q / pixels] * normal[q - p];
    }
  }

  void erase(T* out) const {
    const auto [C, H, W] = shape_;
    const auto side = [&](int k, int size) {
      const double part = how_.erased[0] + (how_.erased[1] - how_.erased[0]) * uniform(k);
      return std::clamp(int(part * size + 0.5), 1, size);
    };
    const int rows = side(13, H), columns = side(14, W);
    const int top = int(uniform(15) * (H - rows + 1)), left = int(uniform(16) * (W - columns + 1));
    for (int c = 0; c < C; c++)
      for (int i = top; i < top + rows; i++) std::fill_n(out + (ptrdiff_t(c) * H + i) * W + left, columns, mean_[c]);
  }

  const Augmentation how_;
  const Shape shape_;
  const T *mean_, *deviation_;
  const RandomLanes* word_ = nullptr;
  int knot_rows_, knot_columns_;
  std::vector<int> top_, left_;
  std::vector<T> down_, right_, displaced_[2], knot_, row_of_knots_;
  std::vector<Spline> columns_;
};

}  // namespace convprop
