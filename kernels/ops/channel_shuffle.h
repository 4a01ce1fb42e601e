// A permutation of channels, so that the groups of the next convolution see channels of all groups.
#pragma once

#include "ops/join.h"

namespace convprop {

// Of Zhang, Zhou, Lin and Sun, ShuffleNet (2018): the channels are a matrix of as many rows as there
// are groups, and are then taken column by column.
template <class T>
struct ChannelShuffleOp {
  Shape shape;
  int groups;

  static bool takes(const Description& description, const Way&) { return description.kind() == "channel_shuffle"; }
  ChannelShuffleOp(const Description& description, const Shape& in, const Way&) : shape(in), groups(description.integer("groups")) {
    if (groups < 1 || shape.C % groups) description.refuse("its groups must divide the channels");
  }

  void forward(const Operands<T>& v, Range blocks, const Share& at) const { shuffle(v.in(), v.out(), blocks, at.share_of(shape.C)); }
  void forward_image(const Operands<T>& v, int n, Range maps, const Share&) const { shuffle(v.in(), v.out(), {n, n + 1}, maps); }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    unshuffle(v.delta(), v.delta_in(), blocks, at.share_of(shape.C), v.added());
  }
  void input_delta_image(const Operands<T>& v, int n, const Share&) const {
    unshuffle(v.delta(), v.delta_in(), {n, n + 1}, {0, shape.C}, v.added());
  }

  void shuffle(const Maps<T>& o, const Maps<T>& x, Range blocks, Range maps) const {
    for (int k = maps.begin; k < maps.end; k++)
      each_vector(x, blocks, {0, 1}, [&, c = from(k)](int b, int, int i, int j) { Lanes<T>::load(o.at(b, c, i, j)).store(x.at(b, k, i, j)); });
  }
  void unshuffle(const Maps<T>& delta, const Maps<T>& delta_in, Range blocks, Range maps, bool added) const {
    for (int k = maps.begin; k < maps.end; k++)
      each_vector(delta, blocks, {0, 1}, [&, c = from(k)](int b, int, int i, int j) {
        put(Lanes<T>::load(delta.at(b, k, i, j)), delta_in.at(b, c, i, j), added);
      });
  }

 private:
  // The channel that channel k of the output is.
  int from(int k) const { return k % groups * (shape.C / groups) + k / groups; }
};

}  // namespace convprop
