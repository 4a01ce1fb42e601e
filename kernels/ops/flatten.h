// A Flatten: another shape for the same numbers.
#pragma once

#include "ops/operands.h"

namespace convprop {

template <class T>
struct FlattenOp {
  Shape shape;

  static bool takes(const Description& description, const Way&) { return description.kind() == "flatten"; }
  FlattenOp(const Description&, const Shape& in, const Way&) : shape{in.C * in.H * in.W, 1, 1} {}
  bool passes_on() const { return true; }
};

}  // namespace convprop
