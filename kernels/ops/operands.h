// What a plan gives its operations: the way they will run, memory, and in a step the values they
// read and write and the thread's share.
#pragma once

#include <variant>
#include <vector>

#include "machine/memory.h"
#include "machine/threads.h"
#include "maps/geometry.h"
#include "maps/layout.h"
#include "ops/description.h"
#include "ops/groups.h"

namespace convprop {

// Padding is written (top, bottom, left, right).
inline Window window_of(const Description& description, const char* size) {
  const auto sizes = description.integers<2>(size), stride = description.integers<2>("stride");
  const auto padding = description.integers<4>("padding");
  return {{sizes[0], sizes[1]}, {stride[0], stride[1]}, {1, 1}, {padding[0], padding[2]}, {padding[1], padding[3]}};
}

enum class Mode { train, predict, inspect };

// How a plan's operations will run: known before they are made.
struct Way {
  Mode mode;
  bool by_image;  // those before the first dense one: image by image, for batches of few images
};

// An operation's memory. Asked twice with the same questions: to find how much it is, and for good.
struct Memory {
  Arena& arena;
  Mode mode;
  int batch_size, blocks;  // of the whole batch
  int part_blocks;         // of what is given at a time: all, or fewer
  int groups, units, threads;
  int at_once;            // blocks that a unit carries at once
  bool by_image = false;  // whether the operation goes image by image
  bool backward = true;   // whether it has deltas to compute
  bool whole_batch = false;  // whether what it gives is kept for the whole batch

  bool trains() const { return mode != Mode::predict && backward; }
  // Maps that every unit has of its own, or the whole batch together.
  int copies() const { return whole_batch ? 1 : units; }
  int carried() const { return whole_batch ? blocks : at_once; }

  template <class U>
  U* take(ptrdiff_t count) const {
    return arena.take<U>(count);
  }
  bool in_parts() const { return part_blocks < blocks; }
  // A sum of gradients for each group.
  template <class U>
  std::vector<U*> sums(ptrdiff_t count) const {
    std::vector<U*> all;
    for (int g = 0; g < groups; g++) all.push_back(take<U>(count));
    return all;
  }
  template <class U>
  std::vector<Maps<U>> maps(int count, const Layout<U>& layout) const {
    std::vector<Maps<U>> all;
    for (int u = 0; u < count; u++) all.push_back(layout.in(take<U>(layout.size())));
    return all;
  }
};

// The numbers of a run that operations ask for.
struct Step {
  Groups groups;        // of the batch
  Range part = {0, 0};  // the blocks of those images that are given: of a batch in parts not all
  uint64_t number = 0;  // from 1; 0: no training step
  uint64_t seed = 0;
  const double* image_weight = nullptr;  // one an image, in training
};

// One thread's share of a run.
struct Share {
  const Step* step;
  Barrier* barrier;
  int thread, unit, part, parts;
  Range groups;
  Range blocks;                 // those carried at once just now
  int group = 0;                // of the block under way, where one goes at a time
  bool first_of_group = true;

  Range share_of(int count) const { return share(count, part, parts); }
};

template <class T>
class ActivationLayer;

// What one operation gives and others read, in the shape it is stored in: a Flatten does not change
// it. One for each unit, of the blocks it carries at once, or those of the whole batch.
template <class T>
struct Value {
  Shape shape;
  Halo halo = {};         // that its readers reach into
  T padding_value = 0;    // in it
  bool by_image = false;
  bool whole_batch = false, whole_delta = false;  // kept for all blocks of the batch
  bool has_delta = false;  // wanted by an operation that trains, or by an inspection
  std::vector<Maps<T>> o = {}, delta = {};
  // The activation that made it in place with the operation before, where the last of its readers
  // takes its delta through f' at once, and the halo that this operation wants round the delta.
  const ActivationLayer<T>* through = nullptr;
  Halo delta_halo = {};

  Maps<T> output(const Share& at) const { return of_unit(o, at, whole_batch); }
  Maps<T> error(const Share& at) const { return of_unit(delta, at, whole_delta); }

  // Maps of a unit, counted by the blocks of the batch.
  template <class U>
  static Maps<U> of_unit(const std::vector<Maps<U>>& maps, const Share& at, bool whole) {
    if (maps.empty()) return {};
    return whole ? maps[0] : maps[at.unit].from(at.blocks.begin);
  }
};

// A value that an operation reads. Of several readers the last one sets the value's delta, and each
// before it adds its own to that.
template <class T>
struct Reading {
  const Value<T>* value;
  bool added = false;
  bool last = true;  // to write the delta, and so the one to take it through f'
};

// One operation's values, as a thread sees them.
template <class T>
struct Operands {
  const Share& at;
  const std::vector<Reading<T>>& reads;
  const Value<T>& gives;
  T* const* parameters;  // its own, from the first on
  T* scratch;            // as many numbers as the operation asks for, the thread's own
  int layer;             // its number in the network

  Maps<T> in(int i = 0) const { return reads[i].value->output(at); }
  Maps<T> out() const { return gives.output(at); }
  Maps<T> delta() const { return gives.error(at); }
  // Without data where nobody asks for it.
  Maps<T> delta_in(int i = 0) const { return reads[i].value->error(at); }
  bool added(int i = 0) const { return reads[i].added; }
  const ActivationLayer<T>* through(int i = 0) const { return reads[i].last ? reads[i].value->through : nullptr; }
  bool wants_delta() const {
    return std::any_of(reads.begin(), reads.end(), [](const Reading<T>& read) { return read.value->has_delta; });
  }
  template <class U>
  Maps<U> beside_out(const std::vector<Maps<U>>& maps) const {
    return gives.of_unit(maps, at, gives.whole_batch);
  }
};

}  // namespace convprop
