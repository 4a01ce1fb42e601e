// From maps image by image to a block of them, and their deltas back: what a plan for few images
// does before the first dense layer.
#pragma once

#include "ops/operands.h"

namespace convprop {

template <class T>
struct GatherImagesOp {
  static constexpr bool TOGETHER = true, POINTWISE = true;

  static bool takes(const Description&, const Way&) { return false; }

  void forward(const Operands<T>& v, Range, const Share& at) const {
    const Maps<T> in = v.in(), out = v.out();
    for (int n = 0; n < at.step->groups.images; n++)
      each_pixel(at.share_of(v.gives.shape.C), in, [&](int c, int i, int j) { out.at(0, c, i, j)[n] = *in.at(n, c, i, j); });
  }
  void input_delta(const Operands<T>& v, Range, const Share& at) const {
    const Maps<T> delta = v.delta(), delta_in = v.delta_in();
    for (int n = 0; n < at.step->groups.images; n++)
      each_pixel(at.share_of(v.gives.shape.C), delta, [&](int c, int i, int j) { *delta_in.at(n, c, i, j) = delta.at(0, c, i, j)[n]; });
  }
};

}  // namespace convprop
