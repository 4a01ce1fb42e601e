// Batch normalisation (batch_norm.h) over each block of sixteen images by itself, so that no image has to
// wait for the others of its batch: the "ghost" batches of Hoffer, Hubara and Soudry, "Train longer,
// generalize better" (2017). The running statistics move towards the blocks' average, each block as
// often as it has images: sums over blocks in order within a group, groups by the tree.
#pragma once

#include "ops/batch_norm.h"

namespace convprop {

template <class T>
struct BlockNormOp : NormalisingOp<T> {
  using Base = NormalisingOp<T>;
  using Base::with, Base::dw, Base::db, Base::shape;
  static constexpr bool BY_BLOCK = true, SUMS_FOR_DELTA = true;

  // Of some blocks: how many numbers, and their means and unbiased variances, each times its numbers.
  struct Totals {
    double count = 0, mean = 0, variance = 0;
    void add(const Totals& other) { count += other.count, mean += other.mean, variance += other.variance; }
  };
  std::vector<Totals*> groups;  // of each channel, one array a group

  static bool takes(const Description& description, const Way& way) {
    return description.kind() == "batch_norm" && description.word("statistics") == "block" && way.mode != Mode::predict && !way.by_image;
  }
  BlockNormOp(const Description& description, const Shape& in, const Way&)
      : Base(std::make_shared<Normalisation<T>>(description, in), in) {}

  void place(const Memory& memory, bool) {
    with->place(memory, memory.blocks);
    dw = memory.sums<T>(shape.C), db = memory.sums<T>(shape.C);
    groups = memory.sums<Totals>(shape.C);
  }

  void forward(const Operands<T>& v, Range blocks, const Share& at) const {
    const Maps<T> y = v.in(), o = v.out();
    const Range channels = at.share_of(shape.C);
    this->activation.inlined([&](const auto& f) {
      for (int block = blocks.begin; block < blocks.end; block++) {
        const TakingPart images(*at.step, block);
        for (int c = channels.begin; c < channels.end; c++) {
          const Moment all = images.of_lanes(map_moments<Lanes<T>>(y, block, c));
          const double mean = all.mean.value, squares = all.squares.value;
          with->set(of(block, c), mean, squares / std::max(all.count, 1.0), v.parameters[0][c], v.parameters[1][c]);
          Totals& group = groups[at.group][c];
          if (at.first_of_group) group = {};
          group.add({all.count, all.count * mean, all.count * (squares / std::max(all.count - 1, 1.0))});
          const auto channel = with->channel(of(block, c));
          each_vector(o, {block, block + 1}, {c, c + 1}, [&](int, int, int i, int j) {
            f.forward(channel.x(Lanes<T>::load(y.at(block, c, i, j)))).store(o.at(block, c, i, j));
          });
        }
      }
    });
  }
  void weight_gradient(const Operands<T>& v, Range blocks, const Share& at) const {
    const Maps<T> delta = v.delta(), o = v.out(), y = v.in(), to = v.delta_in();
    const Range channels = at.share_of(shape.C);
    this->activation.inlined([&](const auto& f) {
      for (int block = blocks.begin; block < blocks.end; block++) {
        const TakingPart images(*at.step, block);
        const auto here = images.mask<T>();
        double count = 0;
        for (double one : images.each) count += one * shape.H * shape.W;
        for (int c = channels.begin; c < channels.end; c++) {
          const auto channel = with->channel(of(block, c));
          const auto sums = this->sums_of(f, channel, delta, o, y, block, c, [](const Lanes<T>&, int, int, int, int) {});
          this->add_to_group(sums, block, c, at);
          if (!to.data) continue;
          const Lanes<T> mean = T(sums.g / std::max(count, 1.0)), products = T(sums.products / std::max(count, 1.0));
          each_vector(to, {block, block + 1}, {c, c + 1}, [&](int, int, int i, int j) {
            const Lanes<T> g = Lanes<T>::load(delta.at(block, c, i, j)) * slope(f, o.at(block, c, i, j));
            const Lanes<T> back = channel.scale * fma(-channel.standard(Lanes<T>::load(y.at(block, c, i, j))), products, g - mean);
            put(images.all ? back : select(here, back, Lanes<T>(T(0))), to.at(block, c, i, j), v.added());
          });
        }
      }
    });
  }
  Range gather(int parameter, const Step& step, int thread, int threads) const {
    const Range channels = share(shape.C, thread, threads);
    add_groups(parameter == 0 ? dw : db, step.groups.count(), channels);
    return channels;
  }
  void keep_statistics(const Operands<T>& v, int thread, int threads) const {
    const int count = v.at.step->groups.count();
    const Range channels = share(shape.C, thread, threads);
    const auto move = [&](T& running, double value) {
      running = T((1 - with->momentum) * running + with->momentum * value);
    };
    for (int c = channels.begin; c < channels.end; c++) {
      for (int apart = 1; apart < count; apart *= 2)
        for (int g = 0; g + apart < count; g += 2 * apart) groups[g][c].add(groups[g + apart][c]);
      const Totals& all = groups[0][c];
      if (all.count == 0) continue;
      move(v.parameters[2][c], all.mean / all.count);
      move(v.parameters[3][c], all.variance / all.count);
    }
  }

 private:
  ptrdiff_t of(int block, int c) const { return ptrdiff_t(block) * shape.C + c; }
};

}  // namespace convprop
