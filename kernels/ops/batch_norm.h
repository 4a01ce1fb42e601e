// Batch normalisation of maps: Ioffe and Szegedy (2015), over the images and pixels of a channel.
//
//   x^ = (y - m) / sqrt(v + epsilon),   x = w x^ + b,   o = f(x)
//   dE/dw = sum of g x^,   dE/db = sum of g,   g = dE/dx
//   dE/dy = w / sqrt(v + epsilon) (g - mean of g - x^ mean of g x^)
//
// with m and v the mean and the biased variance of what is normalised over: the images of the batch, of
// a block of sixteen, or, frozen and in predictions, the running ones (then the two means are 0). The
// running mean and variance (the unbiased one) move by `momentum` towards those of each batch, as in
// PyTorch and ONNX.
//
// Order of the sums: a map's moments in each lane (moments.h), then lanes, blocks in order within a
// group, and groups by the tree meet by Chan's formula. The sums of g and g x^ are chains along each row, rows in order, then lanes by
// halves, blocks in order within a group, groups by the tree. Images of weight 0, and lanes without an
// image, take no part.
#pragma once

#include <cmath>
#include <memory>

#include "ops/activation.h"
#include "ops/groups.h"
#include "ops/join.h"
#include "ops/moments.h"

namespace convprop {

// Of one lane, and of more than one.
using Moment = Moments<Single<double>>;

// Which images of a block the statistics are of.
struct TakingPart {
  double each[LANES];  // 1 or 0
  bool all = true;

  TakingPart(const Step& step, int block) {
    for (int l = 0; l < LANES; l++) {
      const int n = block * LANES + l;
      each[l] = n < step.groups.images && step.image_weight[n] > 0;
      all = all && each[l] > 0;
    }
  }
  // Of a map's moments in each lane, all lanes', one after the other.
  Moment of_lanes(const Moments<Lanes<double>>& map) const {
    alignas(VECTOR_BYTES) double means[LANES], squares[LANES];
    map.mean.store(means), map.squares.store(squares);
    Moment all;
    for (int l = 0; l < LANES; l++)
      if (each[l] > 0) all.merge({map.count, means[l], squares[l]});
    return all;
  }
  template <class T>
  IntLanes<T> mask() const {
    alignas(VECTOR_BYTES) T numbers[LANES];
    std::copy_n(each, LANES, numbers);
    return Lanes<T>::load(numbers) > Lanes<T>(T(0));
  }
};

// What is normalised with: one number a channel each, and those that each group sums up.
template <class T>
struct Normalisation {
  int C;
  double epsilon, momentum;
  // x^ = (y - centre) · inverse + rest: the mean's own rounding is in the rest.
  T *centre = nullptr, *inverse = nullptr, *rest = nullptr;
  // x = (y - centre) · scale + shift
  T *scale = nullptr, *shift = nullptr;

  explicit Normalisation(const Description& description, const Shape& in)
      : C(in.C), epsilon(description.number("epsilon")), momentum(description.number("momentum")) {
    if (!(epsilon > 0) || !(momentum >= 0 && momentum <= 1)) description.refuse("epsilon must be above 0, momentum in [0, 1]");
  }

  // For so many times all channels.
  void place(const Memory& memory, int times = 1) {
    for (T** numbers : {&centre, &inverse, &rest, &scale, &shift}) *numbers = memory.take<T>(ptrdiff_t(times) * C);
  }

  void set(ptrdiff_t c, double mean, double variance, T weight, T bias) const {
    const double root = 1 / __builtin_sqrt(variance + epsilon);
    centre[c] = T(mean);
    const double off = double(centre[c]) - mean;
    inverse[c] = T(root), rest[c] = T(off * root);
    scale[c] = T(weight * root), shift[c] = T(bias + off * (weight * root));
  }

  // x of one channel's pixel, and x^.
  struct Channel {
    Lanes<T> centre, inverse, rest, scale, shift;
    CONVPROP_INLINE Lanes<T> x(const Lanes<T>& y) const { return fma(y - centre, scale, shift); }
    CONVPROP_INLINE Lanes<T> standard(const Lanes<T>& y) const { return fma(y - centre, inverse, rest); }
  };
  Channel channel(ptrdiff_t c) const { return {centre[c], inverse[c], rest[c], scale[c], shift[c]}; }
};

// What an operation that normalises has, by whatever statistics.
template <class T>
struct NormalisingOp {
  std::shared_ptr<Normalisation<T>> with;
  Shape shape;
  ActivationLayer<T> activation;  // in place, behind it
  std::vector<T*> dw, db;         // a sum for each group

  NormalisingOp(std::shared_ptr<Normalisation<T>> normalisation, const Shape& in) : with(std::move(normalisation)), shape(in) {}

  // Weight, bias, running mean, running variance.
  std::vector<std::vector<ptrdiff_t>> parameters() const { return std::vector<std::vector<ptrdiff_t>>(4, {shape.C}); }
  T* gradient(int parameter) const { return parameter == 0 ? dw[0] : db[0]; }
  void place(const Memory& memory, bool) {
    with->place(memory);
    if (!memory.trains()) return;
    dw = memory.sums<T>(shape.C), db = memory.sums<T>(shape.C);
  }

  void forward(const Operands<T>& v, Range blocks, const Share& at) const {
    const Maps<T> y = v.in(), o = v.out();
    activation.inlined([&](const auto& f) {
      for (int c = at.share_of(shape.C).begin; c < at.share_of(shape.C).end; c++) {
        const auto channel = with->channel(c);
        each_vector(o, blocks, {c, c + 1}, [&](int block, int, int i, int j) {
          f.forward(channel.x(Lanes<T>::load(y.at(block, c, i, j)))).store(o.at(block, c, i, j));
        });
      }
    });
  }

 protected:
  // The sums of g and of g x^ over a block; each g goes to sink(g, block, c, i, j).
  template <class Sink>
  void add_sums(const Operands<T>& v, Range blocks, const Share& at, const Sink& sink) const {
    const Maps<T> y = v.in(), o = v.out(), delta = v.delta();
    const Range channels = at.share_of(shape.C);
    activation.inlined([&](const auto& f) {
      for (int block = blocks.begin; block < blocks.end; block++)
        for (int c = channels.begin; c < channels.end; c++)
          add_to_group(sums_of(f, with->channel(c), delta, o, y, block, c, sink), block, c, at);
    });
  }

  struct Sums {
    T g, products;
  };

  template <class F, class Sink>
  Sums sums_of(const F& f, const typename Normalisation<T>::Channel& channel, const Maps<T>& delta, const Maps<T>& o, const Maps<T>& y,
               int block, int c, const Sink& sink) const {
    Lanes<T> of_g = T(0), of_products = T(0);
    for (int i = 0; i < shape.H; i++) {
      Lanes<T> row_g = T(0), row_products = T(0);
      for (int j = 0; j < shape.W; j++) {
        const Lanes<T> g = Lanes<T>::load(delta.at(block, c, i, j)) * slope(f, o.at(block, c, i, j));
        row_g = row_g + g;
        row_products = fma(g, channel.standard(Lanes<T>::load(y.at(block, c, i, j))), row_products);
        sink(g, block, c, i, j);
      }
      of_g = of_g + row_g, of_products = of_products + row_products;
    }
    return {sum_of_lanes(of_g), sum_of_lanes(of_products)};
  }
  // (The running ones may be asked for many blocks at once, behind a dense layer.)
  void add_to_group(const Sums& sums, int block, int c, const Share& at) const {
    const int group = at.step->groups.group_of(block);
    const bool first = at.step->groups.blocks_in(group).begin == block;
    T &w = dw[group][c], &b = db[group][c];
    w = (first ? T(0) : w) + sums.products;
    b = (first ? T(0) : b) + sums.g;
  }
};

// By the running statistics: in predictions, and where they are frozen.
template <class T>
struct FrozenNormOp : NormalisingOp<T> {
  using Base = NormalisingOp<T>;
  using Base::with, Base::dw, Base::db, Base::shape;

  static bool takes(const Description& description, const Way& way) {
    return description.kind() == "batch_norm" && (way.mode == Mode::predict || (description.word("statistics") == "running" && !way.by_image));
  }
  FrozenNormOp(const Description& description, const Shape& in, const Way&)
      : Base(std::make_shared<Normalisation<T>>(description, in), in) {}

  void prepare(const Operands<T>& v, int thread, int threads) const {
    const Range channels = share(shape.C, thread, threads);
    for (int c = channels.begin; c < channels.end; c++)
      with->set(c, v.parameters[2][c], v.parameters[3][c], v.parameters[0][c], v.parameters[1][c]);
  }
  void forward_image(const Operands<T>& v, int n, Range maps, const Share&) const {
    const Maps<T> y = v.in(), o = v.out();
    this->activation.inlined([&](const auto& f) {
      for (int c = maps.begin; c < maps.end; c++) {
        const auto channel = with->channel(c);
        each_vector(o, {n, n + 1}, {c, c + 1}, [&](int, int, int i, int j) {
          f.forward(channel.x(Lanes<T>::load(y.at(n, c, i, j)))).store(o.at(n, c, i, j));
        });
      }
    });
  }
  void weight_gradient(const Operands<T>& v, Range blocks, const Share& at) const {
    this->add_sums(v, blocks, at, [](const Lanes<T>&, int, int, int, int) {});
  }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    const Maps<T> delta = v.delta(), o = v.out(), to = v.delta_in();
    this->activation.inlined([&](const auto& f) {
      for (int c = at.share_of(shape.C).begin; c < at.share_of(shape.C).end; c++) {
        const Lanes<T> scale = with->scale[c];
        each_vector(to, blocks, {c, c + 1}, [&](int block, int, int i, int j) {
          const Lanes<T> g = Lanes<T>::load(delta.at(block, c, i, j)) * slope(f, o.at(block, c, i, j));
          put(scale * g, to.at(block, c, i, j), v.added());
        });
      }
    });
  }
  Range gather(int parameter, const Step& step, int thread, int threads) const {
    const Range channels = share(shape.C, thread, threads);
    add_groups(parameter == 0 ? dw : db, step.groups.count(), channels);
    return channels;
  }
};

// What the measuring operation and the normalising one share of a batch.
template <class T>
struct BatchStatistics : Normalisation<T> {
  using Normalisation<T>::C;
  std::vector<Moment*> groups;  // of each channel, one array a group
  // The means of g and of g x^.
  T *mean_g = nullptr, *mean_products = nullptr;

  using Normalisation<T>::Normalisation;

  void place(const Memory& memory) {
    groups = memory.sums<Moment>(C);
    mean_g = memory.take<T>(C), mean_products = memory.take<T>(C);
  }
};

// Normalises by the statistics of the whole batch, once they are known.
template <class T>
struct BatchNormOp : NormalisingOp<T> {
  using Base = NormalisingOp<T>;
  using Base::dw, Base::db, Base::shape;
  static constexpr bool AFTER_ALL = true, SUMS_FOR_DELTA = true;
  std::shared_ptr<BatchStatistics<T>> batch;

  static bool takes(const Description&, const Way&) { return false; }  // BatchMomentsOp makes it
  BatchNormOp(std::shared_ptr<BatchStatistics<T>> statistics, const Shape& in) : Base(statistics, in), batch(statistics) {}

  void place(const Memory& memory, bool given) {
    Base::place(memory, given);
    batch->place(memory);
  }

  void begin(const Operands<T>& v, const Step& step, int thread, int threads) const {
    const int groups = step.groups.count();
    const Range channels = share(shape.C, thread, threads);
    for (int c = channels.begin; c < channels.end; c++) {
      for (int apart = 1; apart < groups; apart *= 2)
        for (int g = 0; g + apart < groups; g += 2 * apart)
          if (batch->groups[g + apart][c].count > 0) batch->groups[g][c].merge(batch->groups[g + apart][c]);
      const Moment& all = batch->groups[0][c];
      batch->set(c, all.mean.value, all.squares.value / std::max(all.count, 1.0), v.parameters[0][c], v.parameters[1][c]);
    }
  }
  // Sends g to the measuring operation, whose delta it is in truth.
  void weight_gradient(const Operands<T>& v, Range blocks, const Share& at) const {
    const Maps<T> to = v.delta_in();
    if (to.data) this->add_sums(v, blocks, at, [&](const Lanes<T>& g, int block, int c, int i, int j) { g.store(to.at(block, c, i, j)); });
    else this->add_sums(v, blocks, at, [](const Lanes<T>&, int, int, int, int) {});
  }
  void end(const Operands<T>&, const Step& step, int thread, int threads) const {
    const Range channels = share(shape.C, thread, threads);
    add_groups(dw, step.groups.count(), channels), add_groups(db, step.groups.count(), channels);
    for (int c = channels.begin; c < channels.end; c++) {
      const double count = std::max(batch->groups[0][c].count, 1.0);
      batch->mean_g[c] = T(db[0][c] / count), batch->mean_products[c] = T(dw[0][c] / count);
    }
  }
  // The groups have met in end().
  Range gather(int, const Step&, int thread, int threads) const { return share(shape.C, thread, threads); }
  void keep_statistics(const Operands<T>& v, int thread, int threads) const {
    const Range channels = share(shape.C, thread, threads);
    const auto move = [&](T& running, double value) { running = T((1 - batch->momentum) * running + batch->momentum * value); };
    for (int c = channels.begin; c < channels.end; c++) {
      const Moment& all = batch->groups[0][c];
      move(v.parameters[2][c], all.mean.value);
      move(v.parameters[3][c], all.squares.value / std::max(all.count - 1, 1.0));
    }
  }
};

// Measures the batch that is normalised behind it, whose statistics are known once all images are
// through; and, when all deltas are, takes them back through the statistics.
template <class T>
struct BatchMomentsOp {
  static constexpr bool BY_BLOCK = true;
  std::shared_ptr<BatchStatistics<T>> batch;
  Shape shape;

  static bool takes(const Description& description, const Way& way) {
    return description.kind() == "batch_norm" && description.word("statistics") == "batch" && way.mode != Mode::predict && !way.by_image;
  }
  BatchMomentsOp(const Description& description, const Shape& in, const Way&)
      : batch(std::make_shared<BatchStatistics<T>>(description, in)), shape(in) {}

  BatchNormOp<T> follower() const { return {batch, shape}; }
  bool writes_through(bool added) const { return !added; }

  void forward(const Operands<T>& v, Range blocks, const Share& at) const {
    const Maps<T> y = v.in();
    const Range channels = at.share_of(shape.C);
    for (int block = blocks.begin; block < blocks.end; block++) {
      const TakingPart images(*at.step, block);
      for (int c = channels.begin; c < channels.end; c++) {
        Moment& group = batch->groups[at.group][c];
        if (at.first_of_group) group = {};
        const Moment all = images.of_lanes(map_moments<Lanes<T>>(y, block, c));
        if (all.count > 0) group.merge(all);
      }
    }
  }
  void input_delta(const Operands<T>& v, Range blocks, const Share& at) const {
    const Maps<T> g = v.delta(), y = v.in(), to = v.delta_in();
    const Range channels = at.share_of(shape.C);
    through(v).inlined([&](const auto& f) {
      for (int block = blocks.begin; block < blocks.end; block++) {
        const TakingPart images(*at.step, block);
        const auto here = images.mask<T>();
        for (int c = channels.begin; c < channels.end; c++) {
          const auto channel = batch->channel(c);
          const Lanes<T> mean = batch->mean_g[c], products = batch->mean_products[c];
          each_vector(to, {block, block + 1}, {c, c + 1}, [&](int, int, int i, int j) {
            const Lanes<T> in = Lanes<T>::load(y.at(block, c, i, j));
            Lanes<T> back = channel.scale * fma(-channel.standard(in), products, Lanes<T>::load(g.at(block, c, i, j)) - mean);
            if constexpr (!std::is_same_v<std::decay_t<decltype(f)>, Identity<T>>) back = back * f.derivative(in, in);
            put(images.all ? back : select(here, back, Lanes<T>(T(0))), to.at(block, c, i, j), v.added());
          });
        }
      }
    });
  }
};

}  // namespace convprop
