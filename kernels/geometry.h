// Where a window lies: the one output-size formula, and the halo of zeros that the
// deltas need so that no loop has an edge case.
#pragma once

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>

namespace convprop {

// Rows first, columns second, in every pair.
struct Window {
  int size[2] = {1, 1};
  int stride[2] = {1, 1};
  int dilation[2] = {1, 1};
  int before[2] = {0, 0};  // padding on top and on the left
  int after[2] = {0, 0};   // padding below and on the right
};

inline int reach(const Window& window, int axis) { return (window.size[axis] - 1) * window.dilation[axis] + 1; }

inline int output_size(const Window& window, int axis, int input_size) {
  const int padded = input_size + window.before[axis] + window.after[axis];
  const int room = padded - reach(window, axis);
  if (window.size[axis] < 1 || window.stride[axis] < 1 || window.dilation[axis] < 1 || window.before[axis] < 0 ||
      window.after[axis] < 0 || input_size < 1 || room < 0)
    throw std::invalid_argument("a window of " + std::to_string(reach(window, axis)) + " does not fit an input of " +
                                std::to_string(padded) + " with its padding");
  return room / window.stride[axis] + 1;
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
  const int s = window.stride[1], farthest = (window.size[1] - 1) * window.dilation[1] - window.before[1];
  const int last = (input_width - 1 + window.before[1]) / s, output_width = output_size(window, 1, input_width);
  return {{0, farthest > 0 ? (farthest + s - 1) / s : 0}, {0, std::max(0, last - (output_width - 1))}};
}

// The part-th of parts nearly equal ranges of 0 ... count.
struct Range {
  int begin, end;
};

inline Range share(int count, int part, int parts) {
  return {int((long long)count * part / parts), int((long long)count * (part + 1) / parts)};
}

}  // namespace convprop
