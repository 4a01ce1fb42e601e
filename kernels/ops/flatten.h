// A Flatten: another shape for the same numbers. Where nobody else reads them it computes nothing.
#pragma once

#include "ops/operands.h"

namespace convprop {

template <class T>
struct FlattenOp {
  Shape shape;

  static bool takes(const Description& description, const Way&) { return description.kind() == "flatten"; }
  explicit FlattenOp(const Shape& in) : shape{in.C * in.H * in.W, 1, 1} {}
  FlattenOp(const Description&, const Shape& in, const Way&) : FlattenOp(in) {}

  bool passes_on(bool alone) const { return alone; }
  void forward(const Operands<T>& v, Range blocks, const Share& at) const {
    const Maps<T> in = v.in(), out = v.out();
    each(in, blocks, at, [&](int b, int c, int i, int j, int f) { Lanes<T>::load(in.at(b, c, i, j)).store(out.at(b, f, 0, 0)); });
  }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    const Maps<T> delta = v.delta(), to = v.delta_in();
    each(to, blocks, at, [&](int b, int c, int i, int j, int f) {
      const Lanes<T> error = Lanes<T>::load(delta.at(b, f, 0, 0));
      (v.added() ? Lanes<T>::load(to.at(b, c, i, j)) + error : error).store(to.at(b, c, i, j));
    });
  }
  void forward_image(const Operands<T>& v, int n, Range features, const Share&) const {
    const Maps<T> in = v.in(), out = v.out();
    for (int f = features.begin; f < features.end; f++) *out.at(n, f, 0, 0) = *in.at(n, f / in.W / in.H, f / in.W % in.H, f % in.W);
  }
  void input_delta_image(const Operands<T>& v, int n, const Share&) const {
    const Maps<T> delta = v.delta(), to = v.delta_in();
    each_pixel({0, to.C}, to, [&](int c, int i, int j) { *to.at(n, c, i, j) = *delta.at(n, (c * to.H + i) * to.W + j, 0, 0); });
  }

 private:
  template <class Body>
  static void each(const Maps<T>& maps, Range blocks, const Share& at, const Body& body) {
    for (int b = blocks.begin; b < blocks.end; b++)
      each_pixel(at.share_of(maps.C), maps, [&](int c, int i, int j) { body(b, c, i, j, (c * maps.H + i) * maps.W + j); });
  }
};

}  // namespace convprop
