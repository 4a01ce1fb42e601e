// Sums over images: one for each group of blocks, added up by a tree whose shape the number of
// groups alone decides, and so neither threads nor machines.
#pragma once

#include <vector>

#include "maps/geometry.h"

namespace convprop {

// How many there are at most: it decides the order of the sums, and so is no setting.
inline constexpr int MOST_GROUPS = 8;

// Adds the groups' sums, element by element in a range, into the first one's.
template <class T>
void add_groups(const std::vector<T*>& sums, int groups, Range elements) {
  for (int apart = 1; apart < groups; apart *= 2)
    for (int g = 0; g + apart < groups; g += 2 * apart)
      for (int e = elements.begin; e < elements.end; e++) sums[g][e] += sums[g + apart][e];
}

}  // namespace convprop
