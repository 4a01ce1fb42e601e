// Single operations over NCHW arrays: to lanes, the kernel block by block, and back.
#include "module.h"
#include "names.h"
#include "ops/alone.h"
#include "ops/channel_shuffle.h"
#include "ops/conv.h"
#include "ops/dense.h"
#include "ops/dropout.h"
#include "ops/image_norm.h"
#include "ops/join.h"
#include "ops/local_response_norm.h"
#include "ops/pool.h"
#include "ops/prelu.h"
#include "ops/softmax.h"
#include "ops/stochastic_depth.h"

namespace convprop {

namespace {

// An array's images in lanes, with a halo round each map.
template <class T>
struct LaneArray : LaneImages<T> {
  using LaneImages<T>::LaneImages, LaneImages<T>::images, LaneImages<T>::maps, LaneImages<T>::blocks;

  LaneArray(const Array<T>& array, const Halo& halo = {}, T fill = 0)
      : LaneImages<T>(length(array, 0), shape_of(array), halo, fill) {
    for_blocks([&](int b) { to_lanes(Batch<T, T>{array.data(), nullptr, images, nullptr, nullptr}, maps, b); });
  }

  static Shape shape_of(const Array<T>& array) {
    require(array.ndim() == 4 || array.ndim() == 2, "arrays must have four or two axes");
    const auto axis = [&](size_t a) { return a < array.ndim() ? length(array, a) : 1; };
    const Shape shape{axis(1), axis(2), axis(3)};
    check_size("an image", {shape.C, shape.H, shape.W});
    return shape;
  }

  template <class F>
  void for_blocks(const F& f) const {
    const int threads = SharedPool::instance().threads(), count = blocks();
    const auto work = [&](int thread) {
      const Range mine = share(count, thread, threads);
      for (int b = mine.begin; b < mine.end; b++) f(b);
    };
    SharedPool::instance().run(threads, work);
  }

  NewArray<T> array(bool two_axes = false) const {
    std::vector<size_t> shape{size_t(images), size_t(maps.C), size_t(maps.H), size_t(maps.W)};
    if (two_axes) shape.resize(2);
    auto out = new_array<T>(shape);
    for_blocks([&](int b) { from_lanes(maps, b, images, out.data()); });
    return out;
  }
};

template <class T>
void check_weights(const ConvLayer<T>& layer, const Array<T>& w) {
  require(w.ndim() == 4 && length(w, 0) == layer.K && length(w, 1) == layer.channels_each() &&
              length(w, 2) == layer.window.size[0] && length(w, 3) == layer.window.size[1],
          "w must have shape (K, C / groups, k1, k2)");
}

template <class T>
NewArray<T> conv_forward(Array<T> o, Array<T> w, std::optional<Array<T>> b, const std::string& description) {
  require(o.ndim() == 4, "o must have four axes");
  const Description described(description);
  const ConvLayer<T> layer(described, LaneArray<T>::shape_of(o));
  check_weights(layer, w);
  require(!b || (b->ndim() == 1 && length(*b, 0) == layer.K), "b must have shape (K,)");
  const LaneArray<T> input(o, input_halo(layer.window), T(described.number("padding_value")));
  const LaneArray<T> x(input.images, {layer.K, layer.Ho, layer.Wo});
  input.for_blocks([&](int block) {
    layer.forward(input.maps, w.data(), b ? b->data() : nullptr, x.maps, block, {0, layer.K}, {});
  });
  return x.array();
}

// The sums of the groups, then of all, each thread's share of the kernels.
template <class T, class AddBlock>
void add_in_groups(int images, int kernels, ptrdiff_t each, T* to, const AddBlock& add_block) {
  const Groups groups{images};
  const Buffer<T> sums(room_for(groups.count(), kernels * each));
  std::vector<T*> of_groups;
  for (int g = 0; g < groups.count(); g++) of_groups.push_back(sums.data() + g * kernels * each);
  const int threads = SharedPool::instance().threads();
  SharedPool::instance().run(threads, [&](int thread) {
    const Range mine = share(kernels, thread, threads);
    for (int g = 0; g < groups.count(); g++)
      for (int b = groups.blocks_in(g).begin; b < groups.blocks_in(g).end; b++) add_block(of_groups[g], b, mine);
    add_groups(of_groups, groups.count(), {int(mine.begin * each), int(mine.end * each)});
    std::copy(sums.data() + mine.begin * each, sums.data() + mine.end * each, to + mine.begin * each);
  });
}

template <class T>
NewArray<T> conv_weight_gradient(Array<T> o, Array<T> delta, const std::string& description) {
  require(o.ndim() == 4 && delta.ndim() == 4 && o.shape(0) == delta.shape(0), "o and delta must have four axes and as many images");
  const Description described(description);
  const ConvLayer<T> layer(described, LaneArray<T>::shape_of(o));
  require(length(delta, 1) == layer.K && length(delta, 2) == layer.Ho && length(delta, 3) == layer.Wo,
          "delta must have the shape of the output");
  const LaneArray<T> input(o, input_halo(layer.window), T(described.number("padding_value"))), error(delta);
  auto dw = new_array<T>({size_t(layer.K), size_t(layer.channels_each()), size_t(layer.window.size[0]), size_t(layer.window.size[1])});
  add_in_groups(input.images, layer.K, layer.weights() / layer.K, dw.data(), [&](T* sum, int block, Range kernels) {
    layer.weight_gradient(input.maps, error.maps, sum, block, kernels);
  });
  return dw;
}

template <class T>
NewArray<T> conv_input_delta(Array<T> delta, Array<T> w, std::array<int, 2> input_size, const std::string& description) {
  require(delta.ndim() == 4 && w.ndim() == 4, "delta and w must have four axes");
  const Description described(description);
  const int groups = described.integer("groups");
  check_size("an image's channels", {length(w, 1), groups});
  const ConvLayer<T> layer(described, {length(w, 1) * groups, input_size[0], input_size[1]});
  check_weights(layer, w);
  require(length(delta, 1) == layer.K && length(delta, 2) == layer.Ho && length(delta, 3) == layer.Wo,
          "delta must have the shape of the output");
  const LaneArray<T> error(delta, delta_halo(layer.window, layer.W));
  const LaneArray<T> input(error.images, {layer.C, layer.H, layer.W});
  error.for_blocks([&](int block) { layer.input_delta(error.maps, w.data(), input.maps, block, {0, layer.C}); });
  return input.array();
}

template <class T>
NewArray<T> conv_bias_gradient(Array<T> delta) {
  const LaneArray<T> error(delta);
  const ConvLayer<T> layer(1, error.maps.H, error.maps.W, error.maps.C, {}, 1, false);
  auto db = new_array<T>({size_t(layer.K)});
  add_in_groups(error.images, layer.K, 1, db.data(), [&](T* sum, int block, Range kernels) {
    layer.bias_gradient(error.maps, sum, block, kernels);
  });
  return db;
}

template <class T>
struct PoolForward {
  using Int = typename Lanes<T>::Int;
  LaneArray<T> o;
  PoolLayer<T> layer;
  LaneArray<T> x;
  LaneArray<Int> winner;

  PoolForward(const Array<T>& array, const std::string& description)
      : o(array),
        layer(Description(description), LaneArray<T>::shape_of(array)),
        x(o.images, {layer.C, layer.Ho, layer.Wo}),
        winner(o.images, {layer.C, layer.Ho, layer.Wo}) {
    o.for_blocks([&](int block) { layer.forward(o.maps, x.maps, winner.maps, block, {0, layer.C}); });
  }
};

template <class T>
nb::tuple pool_forward(Array<T> o, const std::string& description) {
  require(o.ndim() == 4, "o must have four axes");
  const PoolForward<T> run(o, description);
  if (!run.layer.has_winner()) return nb::make_tuple(run.x.array(), nb::none());
  auto winner = new_array<int64_t>({size_t(run.o.images), size_t(run.layer.C), size_t(run.layer.Ho), size_t(run.layer.Wo)});
  for (int b = 0; b < run.o.blocks(); b++) from_lanes(run.winner.maps, b, run.o.images, winner.data());
  return nb::make_tuple(run.x.array(), winner);
}

template <class T>
NewArray<T> pool_input_delta(Array<T> delta, Array<T> o, const std::string& description) {
  require(o.ndim() == 4 && delta.ndim() == 4, "delta and o must have four axes");
  const PoolForward<T> run(o, description);
  const LaneArray<T> error(delta);
  require(error.images == run.o.images && error.maps.C == run.layer.C && error.maps.H == run.layer.Ho && error.maps.W == run.layer.Wo,
          "delta must have the shape of the output");
  const LaneArray<T> input(run.o.images, {run.layer.C, run.layer.H, run.layer.W});
  run.o.for_blocks([&](int block) {
    run.layer.input_delta(error.maps, run.o.maps, run.x.maps, run.winner.maps, input.maps, block, {0, run.layer.C});
  });
  return input.array();
}

template <class T>
struct LaneJoin {
  std::vector<LaneArray<T>> in;
  Join<T> join;

  LaneJoin(const std::vector<Array<T>>& arrays, const std::string& description) : in(lanes_of(arrays)), join(Description(description), shapes_of(arrays)) {}

  static std::vector<LaneArray<T>> lanes_of(const std::vector<Array<T>>& arrays) {
    std::vector<LaneArray<T>> all;
    all.reserve(arrays.size());
    for (const auto& array : arrays) {
      require(array.ndim() == arrays[0].ndim() && array.shape(0) == arrays[0].shape(0), "what is joined must have as many axes and images");
      all.emplace_back(array);
    }
    return all;
  }
  static std::vector<Shape> shapes_of(const std::vector<Array<T>>& arrays) {
    std::vector<Shape> all;
    for (const auto& array : arrays) all.push_back(LaneArray<T>::shape_of(array));
    return all;
  }
  static std::vector<Maps<T>> maps_of(const std::vector<LaneArray<T>>& arrays) {
    std::vector<Maps<T>> all;
    for (const auto& array : arrays) all.push_back(array.maps);
    return all;
  }
};

template <class T>
NewArray<T> join_forward(const std::vector<Array<T>>& inputs, const std::string& description) {
  const LaneJoin<T> run(inputs, description);
  const LaneArray<T> x(run.in[0].images, run.join.shape());
  const auto in = run.maps_of(run.in);
  x.for_blocks([&](int block) { run.join.forward(in, x.maps, {block, block + 1}); });
  return x.array(inputs[0].ndim() == 2);
}

template <class T>
nb::list join_input_delta(Array<T> delta, const std::vector<Array<T>>& inputs, const std::string& description) {
  const LaneJoin<T> run(inputs, description);
  require(delta.ndim() == inputs[0].ndim() && delta.shape(0) == inputs[0].shape(0) && LaneArray<T>::shape_of(delta) == run.join.shape(),
          "delta must have the shape of the output");
  const LaneArray<T> error(delta);
  std::vector<LaneArray<T>> back;
  back.reserve(run.in.size());
  for (const auto& one : run.in) back.emplace_back(one.images, Shape{one.maps.C, one.maps.H, one.maps.W});
  const auto in = run.maps_of(run.in), to = run.maps_of(back);
  error.for_blocks([&](int block) { run.join.input_delta(in, error.maps, to, {block, block + 1}); });
  nb::list arrays;
  for (const auto& one : back) arrays.append(one.array(delta.ndim() == 2));
  return arrays;
}

// An operation that reads one value, forward over an array, all threads their shares of the blocks.
template <class T, class One>
struct LaneOne {
  LaneArray<T> o;
  std::vector<T*> parameters;
  Alone<T, One> alone;
  LaneArray<T> x;

  LaneOne(const Array<T>& array, const std::vector<const T*>& given, const Description& description)
      : o(array), alone(description, LaneArray<T>::shape_of(array), o.images, SharedPool::instance().threads()), x(o.images, alone.op().shape) {
    // Operations only read them.
    for (const T* one : given) parameters.push_back(const_cast<T*>(one));
    each_share([&](Range blocks, int thread) { alone.forward(o.maps, parameters.data(), x.maps, blocks, thread); });
  }

  template <class Body>
  void each_share(const Body& body) const {
    const int threads = SharedPool::instance().threads();
    SharedPool::instance().run(threads, [&](int thread) {
      const Range mine = share(o.blocks(), thread, threads);
      if (mine.begin < mine.end) body(mine, thread);
    });
  }
  LaneArray<T> back(const Array<T>& delta) const {
    require(delta.shape(0) == size_t(o.images) && LaneArray<T>::shape_of(delta) == alone.op().shape, "delta must have the shape of the output");
    const LaneArray<T> error(delta);
    LaneArray<T> to(o.images, LaneArray<T>::shape_of(delta));
    each_share([&](Range blocks, int thread) { alone.input_delta(o.maps, parameters.data(), x.maps, error.maps, to.maps, blocks, thread); });
    return to;
  }
};

// body(LaneOne) for the normalisation that is described.
template <class T, class Body>
auto normalised(const Array<T>& o, const std::vector<const T*>& parameters, const std::string& description, const Body& body) {
  require(o.ndim() == 4 || o.ndim() == 2, "o must have four or two axes");
  const Description described(description);
  require(parameters.size() == (described.flag("affine") ? 2 : 0), "weight and bias must be given where there are any");
  if (GroupNormOp<T>::takes(described, {})) return body(LaneOne<T, GroupNormOp<T>>(o, parameters, described));
  if (LayerNormOp<T>::takes(described, {})) return body(LaneOne<T, LayerNormOp<T>>(o, parameters, described));
  described.refuse("there is no such normalisation");
}

template <class T>
std::vector<const T*> of_channels(const Array<T>& o, std::initializer_list<const std::optional<Array<T>>*> given) {
  std::vector<const T*> all;
  for (const auto* one : given) {
    if (!*one) continue;
    require((*one)->ndim() == 1 && o.ndim() > 1 && (*one)->shape(0) == o.shape(1), "weight and bias must have shape (C,)");
    all.push_back((*one)->data());
  }
  return all;
}

template <class T>
NewArray<T> image_norm_forward(Array<T> o, std::optional<Array<T>> weight, std::optional<Array<T>> bias, const std::string& description) {
  return normalised(o, of_channels(o, {&weight, &bias}), description, [&](const auto& run) { return run.x.array(o.ndim() == 2); });
}

// Of each group (N, G), or of each pixel (N, 1, H, W).
template <class T>
NewArray<T> image_norm_scales(Array<T> o, const std::string& description) {
  return normalised<T>(o, {}, description, [&](const auto& run) {
    const LaneArray<T> to(run.o.images, run.alone.op().scales_shape());
    run.each_share([&](Range blocks, int thread) {
      run.alone.with(run.o.maps, {}, nullptr, run.x.maps, {}, blocks, thread, [&](const auto& v, const Share&) {
        for (int b = blocks.begin; b < blocks.end; b++) run.alone.op().scales(v, b, to.maps);
      });
    });
    return to.array();
  });
}

template <class T>
nb::tuple image_norm_gradients(Array<T> o, Array<T> delta, const std::string& description) {
  require(o.ndim() > 1 && delta.ndim() == o.ndim(), "delta must have the shape of the output");
  // What they are multiplied by and what is added, the gradients do not ask.
  const std::vector<T> any(o.shape(1));
  return normalised<T>(o, {any.data(), any.data()}, description, [&](const auto& run) {
    run.back(delta);
    nb::list gradients;
    for (int p = 0; p < 2; p++) {
      auto gradient = new_array<T>({any.size()});
      const FloatSettings settings;
      run.alone.op().gather(p, run.alone.step(), 0, 1);
      std::copy_n(run.alone.op().gradient(p), any.size(), gradient.data());
      gradients.append(gradient);
    }
    return nb::tuple(gradients);
  });
}

template <class T>
NewArray<T> image_norm_input_delta(Array<T> delta, Array<T> o, std::optional<Array<T>> weight, std::optional<Array<T>> bias,
                                   const std::string& description) {
  require(delta.ndim() == o.ndim(), "delta must have the shape of the output");
  return normalised(o, of_channels(o, {&weight, &bias}), description, [&](const auto& run) { return run.back(delta).array(o.ndim() == 2); });
}

template <class T>
NewArray<T> local_response_norm_forward(Array<T> o, const std::string& description) {
  require(o.ndim() == 4, "o must have four axes");
  return LaneOne<T, LocalResponseNormOp<T>>(o, {}, Description(description)).x.array();
}

template <class T>
NewArray<T> local_response_norm_input_delta(Array<T> delta, Array<T> o, const std::string& description) {
  require(o.ndim() == 4 && delta.ndim() == 4, "delta and o must have four axes");
  return LaneOne<T, LocalResponseNormOp<T>>(o, {}, Description(description)).back(delta).array();
}

template <class T>
NewArray<T> dense_forward(Array<T> o, Array<T> w, std::optional<Array<T>> b) {
  require(o.ndim() == 2 && w.ndim() == 2 && o.shape(1) == w.shape(1), "o must have shape (N, F) and w (K, F)");
  const DenseLayer<T> layer{length(w, 1), length(w, 0)};
  require(!b || (b->ndim() == 1 && length(*b, 0) == layer.K), "b must have shape (K,)");
  const LaneArray<T> input(o), x(input.images, {layer.K, 1, 1});
  input.for_blocks([&](int block) {
    layer.forward(input.maps, w.data(), b ? b->data() : nullptr, x.maps, {block, block + 1}, {0, layer.K}, {});
  });
  return x.array(true);
}

template <class T>
NewArray<T> dense_weight_gradient(Array<T> o, Array<T> delta) {
  require(o.ndim() == 2 && delta.ndim() == 2 && o.shape(0) == delta.shape(0), "o must have shape (N, F) and delta (N, K)");
  const DenseLayer<T> layer{length(o, 1), length(delta, 1)};
  const int images = length(o, 0);
  const ptrdiff_t o_row = row_of(layer.F);
  const bool suits = o_row == layer.F;
  const Buffer<T> padded(suits ? 0 : size_t(images) * o_row);
  for (int n = 0; n < images && !suits; n++) std::copy_n(o.data() + ptrdiff_t(n) * layer.F, layer.F, padded.data() + n * o_row);
  auto dw = new_array<T>({size_t(layer.K), size_t(layer.F)});
  // Rows only reads through its pointer here.
  const Rows<T> o_rows{suits ? const_cast<T*>(o.data()) : padded.data(), o_row}, delta_rows{const_cast<T*>(delta.data()), layer.K};
  const int threads = SharedPool::instance().threads();
  const auto work = [&](int thread) { layer.weight_gradient(o_rows, delta_rows, {images}, dw.data(), share(layer.K, thread, threads)); };
  SharedPool::instance().run(threads, work);
  return dw;
}

template <class T>
NewArray<T> dense_bias_gradient(Array<T> delta) {
  require(delta.ndim() == 2 && delta.shape(0) > 0, "delta must have shape (N, K)");
  const int images = length(delta, 0), K = length(delta, 1);
  auto db = new_array<T>({size_t(K)});
  const FloatSettings settings;
  DenseLayer<T>{1, K}.bias_gradient({const_cast<T*>(delta.data()), K}, {images}, db.data(), {0, K});
  return db;
}

template <class T>
NewArray<T> dense_input_delta(Array<T> delta, Array<T> w) {
  require(delta.ndim() == 2 && w.ndim() == 2 && delta.shape(1) == w.shape(0), "delta must have shape (N, K) and w (K, F)");
  const DenseLayer<T> layer{length(w, 1), length(w, 0)};
  const LaneArray<T> error(delta), input(error.images, {layer.F, 1, 1});
  error.for_blocks([&](int block) { layer.input_delta(error.maps, w.data(), input.maps, {block, block + 1}, {0, layer.F}); });
  return input.array(true);
}

// work(inputs..., output, vectors) over every element of arrays of one shape, in vectors of sixteen, each
// thread a run of them.
template <class T, class VectorWork, class... Others>
NewArray<T> by_vectors(const VectorWork& work, const Array<T>& first, const Others&... others) {
  std::vector<size_t> shape(first.ndim());
  for (size_t a = 0; a < shape.size(); a++) shape[a] = first.shape(a);
  const size_t size = first.size(), whole = size / LANES;
  require(((others.size() == size) && ...), "the arrays must have one shape");
  require(whole <= size_t(std::numeric_limits<int>::max()), "the arrays must have fewer elements");
  auto out = new_array<T>(shape);
  const int threads = size < 65536 ? 1 : SharedPool::instance().threads();
  SharedPool::instance().run(threads, [&](int thread) {
    const Range mine = share(int(whole), thread, threads);
    const size_t from = size_t(mine.begin) * LANES;
    work(first.data() + from, (others.data() + from)..., out.data() + from, ptrdiff_t(mine.end - mine.begin));
    if (thread > 0 || whole * LANES == size) return;
    struct alignas(VECTOR_BYTES) Rest {
      T values[LANES] = {};
    };
    const auto rest = [&](const Array<T>& array) {
      Rest of;
      std::copy(array.data() + whole * LANES, array.data() + size, of.values);
      return of;
    };
    Rest last;
    work(rest(first).values, rest(others).values..., last.values, 1);
    std::copy_n(last.values, size - whole * LANES, out.data() + whole * LANES);
  });
  return out;
}

// The sums that the engine passes through on its way to Σ a·b, one chain a row: after each product,
// added by one fma. What explains a number shows them.
template <class T>
NewArray<T> running_sums(Array<T> start, Array<T> a, Array<T> b) {
  require(start.ndim() == 1 && a.ndim() == 2 && b.ndim() == 2, "start must have one axis, a and b two");
  require(a.shape(0) == start.shape(0) && b.shape(0) == start.shape(0) && a.shape(1) == b.shape(1), "start, a and b must have as many rows");
  const size_t terms = a.shape(1);
  auto out = new_array<T>({start.shape(0), terms});
  const FloatSettings settings;
  for (size_t r = 0; r < start.shape(0); r++) {
    Lanes<T> sum = start.data()[r];
    for (size_t t = r * terms; t < (r + 1) * terms; t++) {
      alignas(VECTOR_BYTES) T lanes[LANES];
      sum = fma(Lanes<T>(a.data()[t]), Lanes<T>(b.data()[t]), sum);
      sum.store(lanes);
      out.data()[t] = lanes[0];
    }
  }
  return out;
}

template <class T>
NewArray<T> activation_forward(Array<T> x, const std::string& description) {
  const ActivationLayer<T> layer{Description(description)};
  return by_vectors<T>([&](const T* x, T* o, ptrdiff_t vectors) { layer.forward(x, o, vectors); }, x);
}

template <class T>
NewArray<T> activation_input_delta(Array<T> delta, Array<T> x, Array<T> o, const std::string& description) {
  const ActivationLayer<T> layer{Description(description)};
  return by_vectors<T>(
      [&](const T* delta, const T* x, const T* o, T* delta_in, ptrdiff_t vectors) { layer.input_delta(delta, x, o, delta_in, vectors); },
      delta, x, o);
}

// Of as many slopes as there are channels, or one.
template <class T>
PReLULayer<T> prelu_of(const Array<T>& o, const Array<T>& a) {
  require(a.ndim() == 1 && (length(a, 0) == 1 || length(a, 0) == length(o, 1)), "the slopes must be one or as many as the channels");
  return {length(a, 0) > 1};
}

template <class T>
NewArray<T> prelu_forward(Array<T> o, Array<T> a) {
  const LaneArray<T> input(o), x(input.images, LaneArray<T>::shape_of(o));
  const PReLULayer<T> layer = prelu_of(o, a);
  input.for_blocks([&](int block) { layer.forward(input.maps, a.data(), x.maps, {block, block + 1}, {0, input.maps.C}); });
  return x.array(o.ndim() == 2);
}

template <class T>
NewArray<T> prelu_weight_gradient(Array<T> o, Array<T> delta, bool by_channel) {
  const LaneArray<T> input(o), error(delta);
  require(o.size() == delta.size() && input.maps.C == error.maps.C, "o and delta must have one shape");
  const PReLULayer<T> layer{by_channel};
  const int C = input.maps.C;
  std::vector<T> sums(C);
  add_in_groups(input.images, C, 1, sums.data(), [&](T* sum, int block, Range channels) {
    layer.weight_gradient(input.maps, error.maps, sum, block, channels);
  });
  auto da = new_array<T>({size_t(by_channel ? C : 1)});
  const FloatSettings settings;
  if (by_channel) std::copy(sums.begin(), sums.end(), da.data());
  else *da.data() = layer.of_all(sums.data(), C);
  return da;
}

template <class T>
NewArray<T> prelu_input_delta(Array<T> delta, Array<T> o, Array<T> a) {
  const LaneArray<T> error(delta), input(o), back(input.images, LaneArray<T>::shape_of(o));
  require(o.size() == delta.size() && input.maps.C == error.maps.C, "o and delta must have one shape");
  const PReLULayer<T> layer = prelu_of(o, a);
  input.for_blocks([&](int block) { layer.input_delta(error.maps, input.maps, a.data(), back.maps, {block, block + 1}, {0, input.maps.C}); });
  return back.array(o.ndim() == 2);
}

template <class T>
NewArray<T> softmax_forward(Array<T> o) {
  const LaneArray<T> input(o), x(input.images, LaneArray<T>::shape_of(o));
  const SoftmaxLayer<T> layer{input.maps.C};
  input.for_blocks([&](int block) { layer.forward(input.maps, x.maps, block, {0, input.maps.H * input.maps.W}); });
  return x.array(o.ndim() == 2);
}

template <class T>
NewArray<T> softmax_input_delta(Array<T> delta, Array<T> x) {
  const LaneArray<T> error(delta), output(x), back(output.images, LaneArray<T>::shape_of(x));
  require(x.size() == delta.size() && output.maps.C == error.maps.C, "delta and x must have one shape");
  const SoftmaxLayer<T> layer{output.maps.C};
  output.for_blocks([&](int block) { layer.input_delta(error.maps, output.maps, back.maps, block, {0, output.maps.H * output.maps.W}); });
  return back.array(x.ndim() == 2);
}

// Arrays of images of any shape, as maps of single pixels: drop(maps, block, units) changes a block.
template <class T, class Drop>
NewArray<T> dropped(const Array<T>& o, double rate, const Drop& drop) {
  require(o.ndim() >= 2 && rate >= 0 && rate < 1, "o must have two axes or more and rate lie in [0, 1)");
  size_t units = 1;
  for (size_t a = 1; a < o.ndim(); a++) units *= o.shape(a);
  check_size("an image", {ptrdiff_t(units)});
  std::vector<size_t> shape(o.ndim());
  for (size_t a = 0; a < shape.size(); a++) shape[a] = o.shape(a);
  const int images = length(o, 0);
  const LaneArray<T> out(images, {int(units), 1, 1});
  auto array = new_array<T>(shape);
  out.for_blocks([&](int block) {
    to_lanes(Batch<T, T>{o.data(), nullptr, images, nullptr, nullptr}, out.maps, block);
    drop(out.maps, block, Range{0, int(units)});
    from_lanes(out.maps, block, images, array.data());
  });
  return array;
}

template <class T>
NewArray<T> dropout(Array<T> o, double rate, uint64_t seed, uint64_t step, int layer) {
  return dropped<T>(o, rate, [&](const Maps<T>& maps, int block, Range units) {
    DropoutLayer<T>{rate}.forward(maps, maps, block, units, seed, step, layer);
  });
}

template <class T>
NewArray<T> stochastic_depth(Array<T> o, double rate, uint64_t seed, uint64_t step, int layer) {
  return dropped<T>(o, rate, [&](const Maps<T>& maps, int block, Range units) {
    StochasticDepthLayer<T>{rate}.forward(maps, maps, block, units, seed, step, layer);
  });
}

// Its channels shuffled in groups, or a shuffled array's back in their places.
template <class T>
NewArray<T> channel_shuffle(Array<T> o, int groups, bool back) {
  require(o.ndim() == 4, "o must have four axes");
  const LaneArray<T> input(o);
  const Shape shape{input.maps.C, input.maps.H, input.maps.W};
  const LaneArray<T> output(input.images, shape);
  const ChannelShuffleOp<T> op(Description("channel_shuffle groups=" + std::to_string(groups)), shape, {Mode::inspect, false});
  input.for_blocks([&](int block) {
    const Range blocks{block, block + 1}, all{0, shape.C};
    if (back) op.unshuffle(input.maps, output.maps, blocks, all, false);
    else op.shuffle(input.maps, output.maps, blocks, all);
  });
  return output.array();
}

template <class T>
nb::tuple loss(Array<T> y, std::optional<Array<T>> values, std::optional<Array<int32_t>> labels, const std::string& kind,
               std::optional<Array<double>> sample_weight, double label_smoothing) {
  require(y.ndim() == 2 && y.shape(1) > 0, "y must have shape (N, K)");
  const int images = length(y, 0), K = length(y, 1);
  require(values.has_value() != labels.has_value(), "targets must be values or labels");
  require(!values || (values->ndim() == 2 && length(*values, 0) == images && length(*values, 1) == K), "targets must have y's shape");
  require(!labels || (labels->ndim() == 1 && length(*labels, 0) == images), "labels must have shape (N,)");
  require(!sample_weight || sample_weight->size() == size_t(images), "sample_weight must have shape (N,)");
  const LaneArray<T> outputs(y), delta(images, {K, 1, 1});
  std::vector<T> factor(images, T(1));
  const FloatSettings settings;
  for (int n = 0; sample_weight && n < images; n++) factor[n] = T(sample_weight->data()[n]);
  std::vector<int> correct(images);
  auto losses = new_array<double>({size_t(images)});
  const Targets<T> targets{labels ? labels->data() : nullptr, values ? values->data() : nullptr, nullptr};
  const LossLayer<T> layer{{loss_named(kind), label_smoothing}, K};
  outputs.for_blocks([&](int block) {
    layer.forward(outputs.maps, targets, block, images, factor.data(), delta.maps, losses.data(), correct.data());
  });
  return nb::make_tuple(losses, delta.array(true));
}

NewArray<uint64_t> random_bits_of(uint64_t seed, uint64_t stream, uint64_t count) {
  auto out = new_array<uint64_t>({size_t(count)});
  random_bits(seed, stream, out.data(), count);
  return out;
}

// The words by which descriptions name the alternatives of a variant.
template <class... Each>
nb::tuple names(std::type_identity<std::variant<Each...>>) {
  return nb::make_tuple(Each::name...);
}

// Of activations, those whose f' is found from the output alone.
template <class... Each>
nb::tuple from_output(std::type_identity<std::variant<Each...>>) {
  nb::list found;
  ((Each::FROM_OUTPUT ? found.append(Each::name) : void()), ...);
  return nb::tuple(found);
}

template <class T>
void define(nb::module_& m) {
  using namespace nb::literals;
  m.def("conv_forward", &conv_forward<T>, nb::arg("o").noconvert(), nb::arg("w").noconvert(), nb::arg("b").noconvert().none(),
        "description"_a);
  m.def("conv_weight_gradient", &conv_weight_gradient<T>, nb::arg("o").noconvert(), nb::arg("delta").noconvert(), "description"_a);
  m.def("conv_input_delta", &conv_input_delta<T>, nb::arg("delta").noconvert(), nb::arg("w").noconvert(), "input_size"_a, "description"_a);
  m.def("conv_bias_gradient", &conv_bias_gradient<T>, nb::arg("delta").noconvert());
  m.def("pool_forward", &pool_forward<T>, nb::arg("o").noconvert(), "description"_a);
  m.def("pool_input_delta", &pool_input_delta<T>, nb::arg("delta").noconvert(), nb::arg("o").noconvert(), "description"_a);
  m.def("join_forward", &join_forward<T>, nb::arg("inputs").noconvert(), "description"_a);
  m.def("join_input_delta", &join_input_delta<T>, nb::arg("delta").noconvert(), nb::arg("inputs").noconvert(), "description"_a);
  m.def("image_norm_forward", &image_norm_forward<T>, nb::arg("o").noconvert(), nb::arg("weight").noconvert().none(),
        nb::arg("bias").noconvert().none(), "description"_a);
  m.def("image_norm_scales", &image_norm_scales<T>, nb::arg("o").noconvert(), "description"_a);
  m.def("image_norm_gradients", &image_norm_gradients<T>, nb::arg("o").noconvert(), nb::arg("delta").noconvert(), "description"_a);
  m.def("image_norm_input_delta", &image_norm_input_delta<T>, nb::arg("delta").noconvert(), nb::arg("o").noconvert(),
        nb::arg("weight").noconvert().none(), nb::arg("bias").noconvert().none(), "description"_a);
  m.def("local_response_norm_forward", &local_response_norm_forward<T>, nb::arg("o").noconvert(), "description"_a);
  m.def("local_response_norm_input_delta", &local_response_norm_input_delta<T>, nb::arg("delta").noconvert(), nb::arg("o").noconvert(),
        "description"_a);
  m.def("dense_forward", &dense_forward<T>, nb::arg("o").noconvert(), nb::arg("w").noconvert(), nb::arg("b").noconvert().none());
  m.def("dense_weight_gradient", &dense_weight_gradient<T>, nb::arg("o").noconvert(), nb::arg("delta").noconvert());
  m.def("dense_bias_gradient", &dense_bias_gradient<T>, nb::arg("delta").noconvert());
  m.def("dense_input_delta", &dense_input_delta<T>, nb::arg("delta").noconvert(), nb::arg("w").noconvert());
  m.def("activation_forward", &activation_forward<T>, nb::arg("x").noconvert(), "description"_a);
  m.def("activation_input_delta", &activation_input_delta<T>, nb::arg("delta").noconvert(), nb::arg("x").noconvert(), nb::arg("o").noconvert(),
        "description"_a);
  m.def("prelu_forward", &prelu_forward<T>, nb::arg("o").noconvert(), nb::arg("a").noconvert());
  m.def("prelu_weight_gradient", &prelu_weight_gradient<T>, nb::arg("o").noconvert(), nb::arg("delta").noconvert(), "by_channel"_a);
  m.def("prelu_input_delta", &prelu_input_delta<T>, nb::arg("delta").noconvert(), nb::arg("o").noconvert(), nb::arg("a").noconvert());
  m.def("softmax_forward", &softmax_forward<T>, nb::arg("o").noconvert());
  m.def("softmax_input_delta", &softmax_input_delta<T>, nb::arg("delta").noconvert(), nb::arg("x").noconvert());
  m.def("running_sums", &running_sums<T>, nb::arg("start").noconvert(), nb::arg("a").noconvert(), nb::arg("b").noconvert());
  m.def("dropout", &dropout<T>, nb::arg("o").noconvert(), "rate"_a, "seed"_a, "step"_a, "layer"_a);
  m.def("stochastic_depth", &stochastic_depth<T>, nb::arg("o").noconvert(), "rate"_a, "seed"_a, "step"_a, "layer"_a);
  m.def("channel_shuffle", &channel_shuffle<T>, nb::arg("o").noconvert(), "groups"_a, "back"_a);
  m.def(
      "loss",
      [](Array<T> y, Array<T> targets, const std::string& kind, std::optional<Array<double>> sample_weight, double label_smoothing) {
        return loss<T>(y, targets, std::nullopt, kind, sample_weight, label_smoothing);
      },
      nb::arg("y").noconvert(), nb::arg("targets").noconvert(), "kind"_a, nb::arg("sample_weight").none() = nb::none(),
      "label_smoothing"_a = 0.0);
  m.def(
      "loss",
      [](Array<T> y, Array<int32_t> targets, const std::string& kind, std::optional<Array<double>> sample_weight, double label_smoothing) {
        return loss<T>(y, std::nullopt, targets, kind, sample_weight, label_smoothing);
      },
      nb::arg("y").noconvert(), nb::arg("targets").noconvert(), "kind"_a, nb::arg("sample_weight").none() = nb::none(),
      "label_smoothing"_a = 0.0);
  const auto unary = [&](const char* name, auto f) {
    const auto work = [f](const T* x, T* o, ptrdiff_t vectors) {
      for (ptrdiff_t p = 0; p < vectors; p++) f(Lanes<T>::load(x + p * LANES)).store(o + p * LANES);
    };
    m.def(
        name, [work](Array<T> x) { return by_vectors<T>(work, x); }, nb::arg("x").noconvert());
  };
  unary("exp", [](const Lanes<T>& v) { return exp(v); });
  unary("log", [](const Lanes<T>& v) { return log(v); });
  unary("tanh", [](const Lanes<T>& v) { return tanh(v); });
  unary("sigmoid", [](const Lanes<T>& v) { return sigmoid(v); });
  unary("normal", [](const Lanes<T>& v) { return Normal<T>(v).below; });
}

}  // namespace

void define_ops(nb::module_& m) {
  using namespace nb::literals;
  define<float>(m);
  define<double>(m);
  m.attr("activations") = names(std::type_identity<Activations<float>>{});
  m.attr("activations_from_output") = from_output(std::type_identity<Activations<float>>{});
  m.attr("poolings") = names(std::type_identity<Poolings<float>>{});
  m.def("random_bits", &random_bits_of, "seed"_a, "stream"_a, "count"_a);
  m.def("set_num_threads", [](int threads, int processors) {
    require(threads >= 1 && threads <= 1024, "the number of threads must lie in 1 ... 1024");
    SharedPool::instance().set_threads(threads, processors);
  }, "threads"_a, "processors"_a);
  m.def("get_num_threads", [] { return SharedPool::instance().threads(); });
}

}  // namespace convprop
