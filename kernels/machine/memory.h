// Memory: runs of zeros, and the one piece that a plan lays out before it is asked for.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace convprop {

// No process has more, on any processor that the engine runs on.
inline constexpr size_t ADDRESS_SPACE = size_t(1) << 47;

// So many elements, `each` a time; std::bad_alloc where they are more than any memory holds.
inline ptrdiff_t room_for(ptrdiff_t times, ptrdiff_t each) {
  ptrdiff_t all;
  if (__builtin_mul_overflow(times, each, &all) || size_t(all) > ADDRESS_SPACE) throw std::bad_alloc();
  return all;
}

// Large pages, where the system has them, since a step walks through all of its memory and would
// miss the cache of the page tables.
inline constexpr size_t LARGE_PAGE = size_t(1) << 21;

inline void ask_for_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] size_t bytes) {
#if defined(MADV_HUGEPAGE)
  if (bytes >= LARGE_PAGE) madvise(memory, bytes / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
#endif
}

// A run of zeros, aligned for whole vectors.
template <class T>
class Buffer {
 public:
  explicit Buffer(size_t count) : count_(size_t(room_for(count, sizeof(T))) / sizeof(T)) {
    const size_t alignment = bytes() >= LARGE_PAGE ? LARGE_PAGE : 64;
    const size_t size = (bytes() / alignment + 1) * alignment;
    data_.reset(static_cast<T*>(std::aligned_alloc(alignment, size)));
    if (!data_) throw std::bad_alloc();
    ask_for_large_pages(data_.get(), bytes());
    std::memset(static_cast<void*>(data_.get()), 0, bytes());
  }
  T* data() const { return data_.get(); }
  size_t bytes() const { return count_ * sizeof(T); }

 private:
  struct Free {
    void operator()(T* memory) const { std::free(memory); }
  };
  size_t count_;
  std::unique_ptr<T, Free> data_;
};

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
    // The gap keeps equal indices of two arrays from competing for the same sets of the cache.
    used_ += (room_for(count, sizeof(T)) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + GAP;
    if (used_ > ADDRESS_SPACE) throw std::bad_alloc();
    return reinterpret_cast<T*>(base_ + place);
  }

  // Pages come into being as they are first written.
  void allocate() {
    mapped_bytes_ = used_ + LARGE_PAGE;
    void* memory = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mapped_ = memory;
    base_ = (reinterpret_cast<uintptr_t>(memory) + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    bytes_ = used_;
    used_ = 0;
    ask_for_large_pages(reinterpret_cast<void*>(base_), bytes_);
  }
  bool allocated() const { return mapped_ != nullptr; }
  size_t bytes() const { return allocated() ? bytes_ : used_; }

 private:
  static constexpr size_t ALIGNMENT = 64, GAP = 64 * 5;

  void* mapped_ = nullptr;
  size_t mapped_bytes_ = 0, bytes_ = 0, used_ = 0;
  uintptr_t base_ = ALIGNMENT;
};

}  // namespace convprop
