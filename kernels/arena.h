// The memory of a plan: one piece, laid out before it is asked for.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>

namespace convprop {

// take() hands out places in order. Before allocate() it only counts, so the same calls run
// twice: what they return the first time must not be touched.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() {
    if (mapped_) munmap(mapped_, mapped_bytes_);
  }

  // Zeros, aligned for whole vectors.
  template <class T>
  T* take(size_t count) {
    const size_t place = used_;
    // An odd number of cache lines apart from a power of two, so that equal indices of two
    // arrays do not compete for the same sets of the cache.
    used_ += (count * sizeof(T) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + GAP;
    return reinterpret_cast<T*>(base_ + place);
  }

  // Pages come into being as they are first written; large ones where the system has them,
  // since a step walks through all of its memory and would miss the page tables' cache.
  void allocate() {
    mapped_bytes_ = used_ + HUGE_PAGE;
    void* memory = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mapped_ = memory;
    base_ = (reinterpret_cast<uintptr_t>(memory) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    bytes_ = used_;
    used_ = 0;
#if defined(MADV_HUGEPAGE)
    if (bytes_ >= HUGE_PAGE) madvise(reinterpret_cast<void*>(base_), bytes_ / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
  }
  bool allocated() const { return mapped_ != nullptr; }
  size_t bytes() const { return bytes_; }

 private:
  static constexpr size_t ALIGNMENT = 64, GAP = 64 * 5, HUGE_PAGE = size_t(1) << 21;

  void* mapped_ = nullptr;
  size_t mapped_bytes_ = 0, bytes_ = 0, used_ = 0;
  uintptr_t base_ = ALIGNMENT;
};

}  // namespace convprop
