// Joins of branches: what several operations give becomes one value, and its delta goes back to each.
#pragma once

#include <variant>

#include "ops/activation.h"
#include "ops/operands.h"

namespace convprop {

// body(block, c, i, j) for the vectors of some maps: all pixels of blocks, or, of single images,
// whole vectors of a row.
template <class T, class Body>
void each_vector(const Maps<T>& maps, Range blocks, Range channels, const Body& body) {
  const int step = maps.pixel == 1 ? LANES : 1;
  for (int b = blocks.begin; b < blocks.end; b++)
    for (int c = channels.begin; c < channels.end; c++)
      for (int i = 0; i < maps.H; i++)
        for (int j = 0; j < maps.W; j += step) body(b, c, i, j);
}

// Sets a delta, or adds it to what is there.
template <class T>
CONVPROP_INLINE void put(const Lanes<T>& delta, T* to, bool added) {
  (added ? Lanes<T>::load(to) + delta : delta).store(to);
}

// x = f(sum of the o), in their order; each o's delta is x's.
template <class T>
struct AddOp {
  ActivationLayer<T> activation;  // in place
  Shape shape;

  static bool takes(const Description& description, const Way&) { return description.kind() == "add"; }
  AddOp(const Description& description, const std::vector<Shape>& in, const Way&) : shape(in[0]) {
    for (const Shape& other : in)
      if (!(other == shape)) description.refuse("what it adds must have one shape");
  }

  void forward(const Operands<T>& v, Range blocks, const Share& at) const { add(v, blocks, at.share_of(shape.C)); }
  void forward_image(const Operands<T>& v, int n, Range maps, const Share&) const { add(v, {n, n + 1}, maps); }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const { send(v, blocks, at.share_of(shape.C)); }
  void input_delta_image(const Operands<T>& v, int n, const Share&) const { send(v, {n, n + 1}, {0, shape.C}); }

 private:
  void add(const Operands<T>& v, Range blocks, Range maps) const {
    const Maps<T> first = v.in(0), second = v.in(1), x = v.out();
    const int count = int(v.reads.size());
    activation.inlined([&](const auto& f) {
      each_vector(x, blocks, maps, [&](int b, int c, int i, int j) {
        Lanes<T> sum = Lanes<T>::load(first.at(b, c, i, j)) + Lanes<T>::load(second.at(b, c, i, j));
        for (int r = 2; r < count; r++) sum = sum + Lanes<T>::load(v.in(r).at(b, c, i, j));
        f.forward(sum).store(x.at(b, c, i, j));
      });
    });
  }
  void send(const Operands<T>& v, Range blocks, Range maps) const {
    const Maps<T> delta = v.delta(), x = v.out();
    for (int r = int(v.reads.size()) - 1; r >= 0; r--) {
      const Maps<T> to = v.delta_in(r);
      if (!to.data) continue;
      activation.inlined([&](const auto& f) {
        each_vector(x, blocks, maps, [&](int b, int c, int i, int j) {
          const Lanes<T> error = Lanes<T>::load(delta.at(b, c, i, j)), o = Lanes<T>::load(x.at(b, c, i, j));
          if constexpr (std::is_same_v<std::decay_t<decltype(f)>, Identity<T>>) put(error, to.at(b, c, i, j), v.added(r));
          else put(error * f.derivative(o, o), to.at(b, c, i, j), v.added(r));
        });
      });
    }
  }
};

// x = a · b, where b may have one number for a whole map. The delta of a is x's times b, and that of b
// x's times a, summed up over the map's pixels in order where it has one number.
template <class T>
struct MultiplyOp {
  Shape shape;
  bool by_channel;

  static bool takes(const Description& description, const Way&) { return description.kind() == "multiply"; }
  MultiplyOp(const Description& description, const std::vector<Shape>& in, const Way&) : shape(in[0]) {
    if (in.size() != 2) description.refuse("it multiplies two values");
    by_channel = !(in[1] == shape);
    if (by_channel && !(in[1] == Shape{shape.C, 1, 1})) description.refuse("its factors must have one shape, or the second one number a map");
  }

  void forward(const Operands<T>& v, Range blocks, const Share& at) const { multiply(v, blocks, at.share_of(shape.C)); }
  void forward_image(const Operands<T>& v, int n, Range maps, const Share&) const { multiply(v, {n, n + 1}, maps); }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const { send(v, blocks, at.share_of(shape.C)); }
  void input_delta_image(const Operands<T>& v, int n, const Share&) const { send(v, {n, n + 1}, {0, shape.C}); }

 private:
  CONVPROP_INLINE Lanes<T> factor(const Maps<T>& b, int block, int c, int i, int j) const {
    if (!by_channel) return Lanes<T>::load(b.at(block, c, i, j));
    if (b.pixel == 1) return *b.at(block, c, 0, 0);
    return Lanes<T>::load(b.at(block, c, 0, 0));
  }
  void multiply(const Operands<T>& v, Range blocks, Range maps) const {
    const Maps<T> a = v.in(0), b = v.in(1), x = v.out();
    each_vector(x, blocks, maps, [&](int block, int c, int i, int j) {
      (Lanes<T>::load(a.at(block, c, i, j)) * factor(b, block, c, i, j)).store(x.at(block, c, i, j));
    });
  }
  void send(const Operands<T>& v, Range blocks, Range maps) const {
    const Maps<T> a = v.in(0), b = v.in(1), delta = v.delta(), to_a = v.delta_in(0), to_b = v.delta_in(1);
    const auto at = [](const Maps<T>& maps, int block, int c, int i, int j) { return Lanes<T>::load(maps.at(block, c, i, j)); };
    if (to_b.data && !by_channel)
      each_vector(delta, blocks, maps, [&](int block, int c, int i, int j) {
        put(at(delta, block, c, i, j) * at(a, block, c, i, j), to_b.at(block, c, i, j), v.added(1));
      });
    if (to_b.data && by_channel) {
      for (int block = blocks.begin; block < blocks.end; block++)
        for (int c = maps.begin; c < maps.end; c++) sum_map(delta, a, block, c, to_b.at(block, c, 0, 0), v.added(1));
    }
    if (to_a.data)
      each_vector(delta, blocks, maps, [&](int block, int c, int i, int j) {
        put(at(delta, block, c, i, j) * factor(b, block, c, i, j), to_a.at(block, c, i, j), v.added(0));
      });
  }
  // The sum over a map's pixels of delta · a, one chain in row order, in each lane; or of one image.
  static void sum_map(const Maps<T>& delta, const Maps<T>& a, int block, int c, T* to, bool added) {
    if (delta.pixel == 1) {
      Single<T> sum = T(0);
      for (int i = 0; i < delta.H; i++)
        for (int j = 0; j < delta.W; j++) sum = fma(Single<T>(*delta.at(block, c, i, j)), Single<T>(*a.at(block, c, i, j)), sum);
      *to = added ? *to + sum.value : sum.value;
      return;
    }
    Lanes<T> sum = T(0);
    for (int i = 0; i < delta.H; i++)
      for (int j = 0; j < delta.W; j++) sum = fma(Lanes<T>::load(delta.at(block, c, i, j)), Lanes<T>::load(a.at(block, c, i, j)), sum);
    put(sum, to, added);
  }
};

// The maps of all, in their order.
template <class T>
struct ConcatOp {
  Shape shape;
  std::vector<int> first;  // of each one's maps, and the end

  static bool takes(const Description& description, const Way&) { return description.kind() == "concat"; }
  ConcatOp(const Description& description, const std::vector<Shape>& in, const Way&) : shape(in[0]), first{0} {
    for (const Shape& other : in) {
      if (other.H != shape.H || other.W != shape.W) description.refuse("its maps must have as many rows and columns");
      check_size("a concatenation", {ptrdiff_t(first.back()) + other.C, shape.H, shape.W});
      first.push_back(first.back() + other.C);
    }
    shape.C = first.back();
  }

  void forward(const Operands<T>& v, Range blocks, const Share& at) const { join(v, blocks, at.share_of(shape.C)); }
  void forward_image(const Operands<T>& v, int n, Range maps, const Share&) const { join(v, {n, n + 1}, maps); }
  // Each thread takes a share of every value's own maps: one that is read twice gets both parts from
  // the same thread, one after the other.
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    part(v, blocks, [&](int maps) { return at.share_of(maps); });
  }
  void input_delta_image(const Operands<T>& v, int n, const Share&) const {
    part(v, {n, n + 1}, [](int maps) { return Range{0, maps}; });
  }

 private:
  // Those of some maps that value r gives, counted by its own.
  Range own(int r, Range maps) const {
    return {std::max(maps.begin, first[r]) - first[r], std::min(maps.end, first[r + 1]) - first[r]};
  }
  void join(const Operands<T>& v, Range blocks, Range maps) const {
    const Maps<T> x = v.out();
    for (int r = 0; r < int(v.reads.size()); r++) {
      const Maps<T> o = v.in(r);
      each_vector(o, blocks, own(r, maps), [&](int b, int c, int i, int j) {
        Lanes<T>::load(o.at(b, c, i, j)).store(x.at(b, first[r] + c, i, j));
      });
    }
  }
  template <class ShareOf>
  void part(const Operands<T>& v, Range blocks, const ShareOf& share_of) const {
    const Maps<T> delta = v.delta();
    for (int r = int(v.reads.size()) - 1; r >= 0; r--) {
      const Maps<T> to = v.delta_in(r);
      if (!to.data) continue;
      each_vector(to, blocks, share_of(first[r + 1] - first[r]), [&](int b, int c, int i, int j) {
        put(Lanes<T>::load(delta.at(b, first[r] + c, i, j)), to.at(b, c, i, j), v.added(r));
      });
    }
  }
};

// A join by itself, outside of a plan, over all the blocks of what it reads and gives.
template <class T>
class Join {
 public:
  Join(const Description& description, std::vector<Shape> in) : op_(named(description, in)), in_(std::move(in)) {}

  Shape shape() const {
    return std::visit([](const auto& op) { return op.shape; }, op_);
  }
  void forward(const std::vector<Maps<T>>& in, const Maps<T>& x, Range blocks) const { run(in, {}, x, {}, blocks, true); }
  // Sets the deltas of what it reads.
  void input_delta(const std::vector<Maps<T>>& in, const Maps<T>& delta, const std::vector<Maps<T>>& to, Range blocks) const {
    // Of what a join without an activation gives, its delta needs no more than the shape.
    run(in, to, delta, delta, blocks, false);
  }

 private:
  std::variant<AddOp<T>, MultiplyOp<T>, ConcatOp<T>> op_;
  std::vector<Shape> in_;

  static decltype(op_) named(const Description& description, const std::vector<Shape>& in) {
    const Way way{Mode::inspect, false};
    if (in.size() < 2) description.refuse("it reads several values");
    if (AddOp<T>::takes(description, way)) return AddOp<T>(description, in, way);
    if (MultiplyOp<T>::takes(description, way)) return MultiplyOp<T>(description, in, way);
    if (ConcatOp<T>::takes(description, way)) return ConcatOp<T>(description, in, way);
    description.refuse("there is no such join");
  }

  void run(const std::vector<Maps<T>>& in, const std::vector<Maps<T>>& to, const Maps<T>& x, const Maps<T>& delta, Range blocks,
           bool forwards) const {
    const auto value = [](const Shape& shape, const Maps<T>& o, const Maps<T>& error) {
      Value<T> whole{shape};
      whole.whole_batch = whole.whole_delta = true;
      whole.o = {o};
      whole.delta = {error};
      return whole;
    };
    std::vector<Value<T>> read;
    for (size_t r = 0; r < in.size(); r++) read.push_back(value(in_[r], in[r], to.empty() ? Maps<T>{} : to[r]));
    std::vector<Reading<T>> reads;
    for (const Value<T>& one : read) reads.push_back({&one});
    const Value<T> gives = value(shape(), x, delta);
    const Share at{nullptr, nullptr, 0, 0, 0, 1, {}, blocks};
    const Operands<T> operands{at, reads, gives, nullptr, nullptr, 0};
    std::visit([&](const auto& op) { forwards ? op.forward(operands, blocks, at) : op.input_delta(operands, blocks, at); }, op_);
  }
};

}  // namespace convprop
