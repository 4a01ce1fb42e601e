// The ReLU whose slope below 0 is learned, one for each channel or one for all: He, Zhang, Ren and Sun,
// "Delving deep into rectifiers" (2015), Eq. 1, 8 and 11.
//
// The gradient of a channel's slope is a bias gradient's sum: over i, j in each lane, then the lanes by
// halves, blocks in order within a group, groups by the tree. One slope's for all is the sum of the
// channels' in order.
#pragma once

#include "ops/groups.h"
#include "ops/join.h"

namespace convprop {

template <class T>
struct PReLULayer {
  bool by_channel;

  const T& slope(const T* a, int c) const { return a[by_channel ? c : 0]; }

  // x[c] = o[c] where it is above 0, else a[c] · o[c]
  void forward(const Maps<T>& o, const T* a, const Maps<T>& x, Range blocks, Range channels) const {
    each_vector(o, blocks, channels, [&](int b, int c, int i, int j) {
      const Lanes<T> value = Lanes<T>::load(o.at(b, c, i, j));
      select(value > Lanes<T>(T(0)), value, value * Lanes<T>(slope(a, c))).store(x.at(b, c, i, j));
    });
  }

  // delta_in[c] = delta[c] where o is above 0, else a[c] · delta[c]
  void input_delta(const Maps<T>& delta, const Maps<T>& o, const T* a, const Maps<T>& delta_in, Range blocks, Range channels,
                   bool added = false) const {
    each_vector(o, blocks, channels, [&](int b, int c, int i, int j) {
      const Lanes<T> error = Lanes<T>::load(delta.at(b, c, i, j));
      put(select(Lanes<T>::load(o.at(b, c, i, j)) > Lanes<T>(T(0)), error, error * Lanes<T>(slope(a, c))), delta_in.at(b, c, i, j), added);
    });
  }

  // da[c] += sum over i, j and the lanes of delta[c][i][j] · min(o[c][i][j], 0)
  void weight_gradient(const Maps<T>& o, const Maps<T>& delta, T* da, int block, Range channels) const {
    for (int c = channels.begin; c < channels.end; c++) da[c] += sum_of_lanes(of_map<Lanes<T>>(o, delta, block, c));
  }

  // The same sum over a map of single numbers, or in each lane.
  template <class Value>
  Value of_map(const Maps<T>& o, const Maps<T>& delta, int block, int c) const {
    Value sum = T(0);
    for (int i = 0; i < o.H; i++)
      for (int j = 0; j < o.W; j++) {
        const Value value = Value::load(o.at(block, c, i, j));
        sum = fma(Value::load(delta.at(block, c, i, j)), select(value > Value(T(0)), Value(T(0)), value), sum);
      }
    return sum;
  }

  // The gradient of the one slope of all channels.
  T of_all(const T* da, int channels) const {
    T sum = 0;
    for (int c = 0; c < channels; c++) sum += da[c];
    return sum;
  }
};

template <class T>
struct PReLUOp {
  PReLULayer<T> layer;
  Shape shape;
  std::vector<T*> da;   // a sum for each group, of each channel
  T* all = nullptr;     // of the one slope
  T* images = nullptr;  // each one's sums, where they go one by one

  static bool takes(const Description& description, const Way&) { return description.kind() == "prelu"; }
  PReLUOp(const Description& description, const Shape& in, const Way&) : layer{description.flag("by_channel")}, shape(in) {}

  std::vector<std::vector<ptrdiff_t>> parameters() const { return {{layer.by_channel ? shape.C : 1}}; }
  void place(const Memory& memory, bool) {
    if (!memory.trains()) return;
    da = memory.sums<T>(shape.C);
    all = memory.take<T>(1);
    images = memory.by_image ? memory.take<T>(room_for(memory.batch_size, shape.C)) : nullptr;
  }
  T* gradient(int) const { return layer.by_channel ? da[0] : all; }

  void forward(const Operands<T>& v, Range blocks, const Share& at) const {
    layer.forward(v.in(), v.parameters[0], v.out(), blocks, at.share_of(shape.C));
  }
  void forward_image(const Operands<T>& v, int n, Range maps, const Share&) const {
    layer.forward(v.in(), v.parameters[0], v.out(), {n, n + 1}, maps);
  }
  // Behind a dense layer several blocks come at once, of several groups.
  void weight_gradient(const Operands<T>& v, Range blocks, const Share& at) const {
    const Range channels = at.share_of(shape.C);
    for (int g = at.groups.begin; g < at.groups.end; g++) {
      const Range group = at.step->groups.blocks_in(g);
      if (group.begin >= blocks.begin && group.begin < blocks.end) std::fill(da[g] + channels.begin, da[g] + channels.end, T(0));
      for (int b = std::max(group.begin, blocks.begin); b < std::min(group.end, blocks.end); b++)
        layer.weight_gradient(v.in(), v.delta(), da[g], b, channels);
    }
  }
  void weight_gradient_image(const Operands<T>& v, int n, const Share&) const {
    for (int c = 0; c < shape.C; c++) images[ptrdiff_t(n) * shape.C + c] = layer.template of_map<Single<T>>(v.in(), v.delta(), n, c).value;
  }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    layer.input_delta(v.delta(), v.in(), v.parameters[0], v.delta_in(), blocks, at.share_of(shape.C), v.added());
  }
  void input_delta_image(const Operands<T>& v, int n, const Share&) const {
    layer.input_delta(v.delta(), v.in(), v.parameters[0], v.delta_in(), {n, n + 1}, {0, shape.C}, v.added());
  }
  void gather_images(int count, int thread, int threads) const {
    if (!images) return;
    const Range channels = share(shape.C, thread, threads);
    for (int c = channels.begin; c < channels.end; c++) {
      alignas(VECTOR_BYTES) T lanes[LANES] = {};
      for (int n = 0; n < count; n++) lanes[n] = images[ptrdiff_t(n) * shape.C + c];
      da[0][c] = T(0) + sum_of_lanes(Lanes<T>::load(lanes));
    }
  }
  Range gather(int, const Step& step, int thread, int threads) const {
    const Range mine = share(layer.by_channel ? shape.C : 1, thread, threads);
    if (mine.begin == mine.end) return mine;
    add_groups(da, step.groups.count(), layer.by_channel ? mine : Range{0, shape.C});
    if (!layer.by_channel) *all = layer.of_all(da[0], shape.C);
    return mine;
  }
};

}  // namespace convprop
