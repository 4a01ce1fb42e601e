// NumPy arrays in and out. The Python side has checked shapes and values with messages of
// its own; the checks here are the last defence of the memory behind them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "maps/layout.h"

namespace nb = nanobind;

namespace convprop {

template <class T>
using Array = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
template <class T>
using MutableArray = nb::ndarray<T, nb::c_contig, nb::device::cpu>;
template <class T>
using NewArray = nb::ndarray<nb::numpy, T>;

inline void require(bool holds, const std::string& rule) {
  if (!holds) throw nb::value_error(rule.c_str());
}

// An axis's length, as an int.
template <class A>
int length(const A& array, size_t axis) {
  check_size("an axis", {ptrdiff_t(array.shape(axis))});
  return int(array.shape(axis));
}

template <class T>
NewArray<T> new_array(const std::vector<size_t>& shape) {
  const size_t count = std::accumulate(shape.begin(), shape.end(), size_t(1), std::multiplies<>());
  const size_t bytes = size_t(room_for(ptrdiff_t(count), sizeof(T)));
  // Malloc may give large memory back to the system each time, and then every page of it is a fault: large
  // pages are few. Smaller arrays are set at whole vectors, so that none of those written crosses two lines
  // of the cache; not by aligned_alloc, which leaves holes that later arrays do not fit into.
  const bool large = bytes >= 4 * LARGE_PAGE;
  void* const memory = large ? std::aligned_alloc(LARGE_PAGE, (bytes / LARGE_PAGE + 1) * LARGE_PAGE) : std::malloc(bytes + VECTOR_BYTES);
  if (!memory) throw std::bad_alloc();
  if (large) ask_for_large_pages(memory, bytes);
  nb::capsule owner(memory, [](void* p) noexcept { std::free(p); });
  T* const data = reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(memory) + VECTOR_BYTES - 1) / VECTOR_BYTES * VECTOR_BYTES);
  return NewArray<T>(data, shape.size(), shape.data(), owner);
}

template <class E>
E one_of(const std::string& name, const std::string& parameter, std::initializer_list<std::pair<const char*, E>> choices) {
  for (const auto& [choice, value] : choices)
    if (name == choice) return value;
  throw nb::value_error(("unknown " + parameter + " " + name).c_str());
}

}  // namespace convprop
