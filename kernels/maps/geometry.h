// Where a window lies: the one output-size formula, and the halo of zeros that the
// deltas need so that no loop has an edge case.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <limits>
#include <stdexcept>
#include <string>

namespace convprop {

// What loops count is an int, and what is computed from sizes has 64 bits. A layer checks when it is
// made that its maps with their padding, and its weights, have at most so many numbers each: then an
// index of one is an int, too, and what rounds it up to whole lanes or tiles. (MOST_VALUES of
// geometry.py, which refuses them before.)
inline constexpr ptrdiff_t LARGEST_SIZE = std::numeric_limits<int>::max() - 63;

// std::invalid_argument unless an array of these sizes has at most LARGEST_SIZE elements.
inline void check_size(const char* what, std::initializer_list<ptrdiff_t> sizes) {
  ptrdiff_t all = 1;
  for (ptrdiff_t size : sizes)
    if (__builtin_mul_overflow(all, size, &all) || all > LARGEST_SIZE)
      throw std::invalid_argument(std::string(what) + " would have more than " + std::to_string(LARGEST_SIZE) + " elements");
}

// Of a > 0 things, so many lots of b: no sum in it that passes the ints.
constexpr int lots(int a, int b) { return (a - 1) / b + 1; }

// Rows first, columns second, in every pair.
struct Window {
  int size[2] = {1, 1};
  int stride[2] = {1, 1};
  int dilation[2] = {1, 1};
  int before[2] = {0, 0};  // padding on top and on the left
  int after[2] = {0, 0};   // padding below and on the right

  ptrdiff_t reach(int axis) const { return ptrdiff_t(size[axis] - 1) * dilation[axis] + 1; }
  ptrdiff_t padded(int axis, int input_size) const { return ptrdiff_t(input_size) + before[axis] + after[axis]; }
};

inline int output_size(const Window& window, int axis, int input_size) {
  const ptrdiff_t padded = window.padded(axis, input_size);
  const bool positive = window.size[axis] > 0 && window.stride[axis] > 0 && window.dilation[axis] > 0 && window.before[axis] >= 0 &&
                        window.after[axis] >= 0 && input_size > 0;
  if (!positive || padded > LARGEST_SIZE || window.reach(axis) > padded)
    throw std::invalid_argument("a window of " + std::to_string(window.reach(axis)) + " does not fit an input of " +
                                std::to_string(padded) + " with its padding");
  return int((padded - window.reach(axis)) / window.stride[axis] + 1);
}

// The same window over an input of H × W without distances that no two of its pixels or places
// have, however large they were given.
inline Window within(Window window, const int (&input_size)[2]) {
  for (int axis = 0; axis < 2; axis++) {
    if (window.size[axis] == 1) window.dilation[axis] = 1;
    window.stride[axis] = int(std::min(ptrdiff_t(window.stride[axis]), window.padded(axis, input_size[axis])));
  }
  return window;
}

// Rows and columns round a map that windows reach into.
struct Halo {
  int before[2] = {0, 0};
  int after[2] = {0, 0};

  bool any() const { return before[0] || before[1] || after[0] || after[1]; }
};

inline Halo input_halo(const Window& window) {
  return {{window.before[0], window.before[1]}, {window.after[0], window.after[1]}};
}

// The deltas that Eq. 17 asks for in a row, δ at (u - n·d) / s for 0 <= u - before < input
// width, reach this far beyond the output map. (Rows beyond it are left out of the sum.)
inline Halo delta_halo(const Window& window, int input_width) {
  const ptrdiff_t s = window.stride[1], farthest = window.reach(1) - 1 - window.before[1];
  const ptrdiff_t last = (ptrdiff_t(input_width) - 1 + window.before[1]) / s, output_width = output_size(window, 1, input_width);
  return {{0, farthest > 0 ? int((farthest + s - 1) / s) : 0}, {0, int(std::max(ptrdiff_t(0), last - (output_width - 1)))}};
}

// The part-th of parts nearly equal ranges of 0 ... count.
struct Range {
  int begin, end;
};

inline Range share(int count, int part, int parts) {
  return {int((long long)count * part / parts), int((long long)count * (part + 1) / parts)};
}

}  // namespace convprop
