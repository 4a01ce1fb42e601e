// Sums over images: one for each group of blocks, added up by a tree whose shape the number of
// groups alone decides, and so neither threads nor machines.
#pragma once

#include <vector>

#include "maps/layout.h"

namespace convprop {

// How many there are at most: it decides the order of the sums, and so is no setting.
inline constexpr int MOST_GROUPS = 8;

// Runs of a batch's blocks of sixteen images.
struct Groups {
  int images = 0;

  Groups() = default;
  Groups(int batch) : images(batch) {
    for (int g = 0; g < count(); g++) {
      const Range blocks = blocks_in(g);
      images_[g] = {blocks.begin * LANES, std::min(blocks.end * LANES, images)};
    }
  }

  int blocks() const { return blocks_of(images); }
  int count() const { return std::min(blocks(), MOST_GROUPS); }
  Range blocks_in(int group) const { return share(blocks(), group, count()); }
  Range images_in(int group) const { return images_[group]; }
  int group_of(int block) const {
    int group = 0;
    while (blocks_in(group).end <= block) group++;
    return group;
  }

  // The sums of the groups, added up by the tree: sums of equally many groups meet. of_pair(first,
  // second, to, joins, last) makes those of two groups' images, the last one's perhaps of none, adds
  // them, then those in to[joins - 1] ... to[0], and leaves the sum in to[0]; but the last is all.
  template <class Sum, class OfPair>
  void add_up(Sum (&waiting)[MOST_GROUPS / 2], const OfPair& of_pair) const {
    const int groups = count();
    if (groups < 1) __builtin_unreachable();  // there is an image
    for (int g = 0, there = 0; g < groups; g += 2, there++) {
      const int joins = g + 2 >= groups ? there : __builtin_ctz(unsigned(g + 2)) - 1;
      there -= joins;
      of_pair(images_[g], g + 1 < groups ? images_[g + 1] : Range{0, 0}, &waiting[there], joins, g + 2 >= groups);
    }
  }

  // The same of single numbers, of_group(images) being a group's.
  template <class OfGroup>
  auto sum(const OfGroup& of_group) const {
    decltype(of_group(Range{})) waiting[MOST_GROUPS / 2] = {};
    add_up(waiting, [&](Range first, Range second, auto* to, int joins, bool) {
      auto sum = of_group(first);
      if (second.begin < second.end) sum = sum + of_group(second);
      while (joins > 0) sum = to[--joins] + sum;
      to[0] = sum;
    });
    return waiting[0];
  }

 private:
  Range images_[MOST_GROUPS] = {};  // found once: a dense layer asks for them in each tile of its weights
};

// The same for arrays of sums: into the first one, element by element in a range.
template <class T>
void add_groups(const std::vector<T*>& sums, int groups, Range elements) {
  for (int apart = 1; apart < groups; apart *= 2)
    for (int g = 0; g + apart < groups; g += 2 * apart)
      for (int e = elements.begin; e < elements.end; e++) sums[g][e] += sums[g + apart][e];
}

}  // namespace convprop
