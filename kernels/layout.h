// Maps in blocks of sixteen images, the image innermost, and the way there and back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "geometry.h"
#include "lanes.h"

namespace convprop {

// C maps of H × W pixels for a run of blocks: pixel (i, j) of map c in block b starts at
// data + b·block + c·channel + i·row + j·LANES. Strides count scalars; a halo, where there
// is one, lies at negative i and j and beyond H and W.
template <class T>
struct Maps {
  T* data = nullptr;
  int C = 0, H = 0, W = 0;
  ptrdiff_t row = 0, channel = 0, block = 0;

  T* at(int b, int c, int i, int j) const { return data + b * block + c * channel + i * row + ptrdiff_t(j) * LANES; }
  ptrdiff_t features() const { return ptrdiff_t(C) * H * W; }
  // Whether a block, having no halo, is one row of features: what a dense layer reads.
  bool whole() const { return row == ptrdiff_t(W) * LANES && channel == H * row; }
};

struct Shape {
  int C, H, W;
};

inline int blocks_of(int images) { return (images + LANES - 1) / LANES; }

// A run of zeros, aligned for whole vectors.
template <class T>
class Buffer {
 public:
  explicit Buffer(size_t count) : count_(count) {
    constexpr size_t alignment = 64;
    const size_t bytes = (count * sizeof(T) / alignment + 1) * alignment;
    data_.reset(static_cast<T*>(std::aligned_alloc(alignment, bytes)));
    if (!data_) throw std::bad_alloc();
    std::memset(static_cast<void*>(data_.get()), 0, bytes);
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

// Maps with room for a halo round them, in memory of size().
template <class T>
struct Layout {
  Shape shape;
  Halo halo;
  int blocks;

  ptrdiff_t row() const { return ptrdiff_t(shape.W + halo.before[1] + halo.after[1]) * LANES; }
  ptrdiff_t channel() const { return (shape.H + halo.before[0] + halo.after[0]) * row(); }
  ptrdiff_t block() const { return shape.C * channel(); }
  size_t size() const { return size_t(block()) * blocks; }
  Maps<T> in(T* memory) const {
    return {memory + halo.before[0] * row() + ptrdiff_t(halo.before[1]) * LANES, shape.C, shape.H, shape.W, row(), channel(), block()};
  }
};

// Maps of some images in memory of their own, halo and all set to one value.
template <class T>
struct LaneImages {
  int images;
  Buffer<T> memory;
  Maps<T> maps;

  LaneImages(int count, Shape shape, const Halo& halo = {}, T fill = 0)
      : images(count), memory(Layout<T>{shape, halo, blocks_of(count)}.size()), maps(Layout<T>{shape, halo, blocks_of(count)}.in(memory.data())) {
    if (fill != T(0)) std::fill_n(memory.data(), memory.bytes() / sizeof(T), fill);
  }
  int blocks() const { return blocks_of(images); }
};

// A batch taken from an array of images [rows][C][H][W]: image n is row index[n], or row n
// where there is no index. A lane's value is (pixel - offset[c]) · scale[c].
template <class T, class Pixel>
struct Batch {
  const Pixel* pixels;
  const int64_t* index;
  int images;
  const T* offset;
  const T* scale;
};

// Lanes past the last image are zero; their loss gradient is zero too, so they add nothing.
template <class T, class Pixel>
void to_lanes(const Batch<T, Pixel>& batch, const Maps<T>& o, int block) {
  const ptrdiff_t image_size = ptrdiff_t(o.C) * o.H * o.W;
  const int lanes = batch.images - block * LANES < LANES ? batch.images - block * LANES : LANES;
  const Pixel* image[LANES];
  for (int l = 0; l < LANES; l++) {
    const int64_t n = block * LANES + (l < lanes ? l : 0);
    image[l] = batch.pixels + (batch.index ? batch.index[n] : n) * image_size;
  }
  for (int c = 0; c < o.C; c++) {
    const Lanes<T> offset = batch.offset ? batch.offset[c] : T(0), scale = batch.scale ? batch.scale[c] : T(1);
    for (int i = 0; i < o.H; i++)
      for (int j = 0; j < o.W; j++) {
        const ptrdiff_t pixel = (ptrdiff_t(c) * o.H + i) * o.W + j;
        alignas(VECTOR_BYTES) T gathered[LANES];
        for (int l = 0; l < LANES; l++) gathered[l] = T(image[l][pixel]);
        Lanes<T> value = (Lanes<T>::load(gathered) - offset) * scale;
        if (lanes < LANES) {
          value.store(gathered);
          for (int l = lanes; l < LANES; l++) gathered[l] = T(0);
          value = Lanes<T>::load(gathered);
        }
        value.store(o.at(block, c, i, j));
      }
  }
}

// One block of maps to images [n][C][H][W], in the type of the array.
template <class T, class Out>
void from_lanes(const Maps<T>& o, int block, int images, Out* out) {
  const ptrdiff_t image_size = o.features();
  const int lanes = images - block * LANES < LANES ? images - block * LANES : LANES;
  for (int c = 0; c < o.C; c++)
    for (int i = 0; i < o.H; i++)
      for (int j = 0; j < o.W; j++) {
        const T* lane = o.at(block, c, i, j);
        Out* pixel = out + block * LANES * image_size + (ptrdiff_t(c) * o.H + i) * o.W + j;
        for (int l = 0; l < lanes; l++) pixel[l * image_size] = Out(lane[l]);
      }
}

// Sixteen images side by side to one row an image: out[l][f] = in[f][l], for all features.
template <class T>
void transpose(const T* in, ptrdiff_t features, T* out, ptrdiff_t out_row) {
  for (ptrdiff_t f = 0; f < features; f += LANES) {
    const ptrdiff_t here = features - f < LANES ? features - f : LANES;
    for (int l = 0; l < LANES; l++)
      for (ptrdiff_t k = 0; k < here; k++) out[l * out_row + f + k] = in[(f + k) * LANES + l];
  }
}

}  // namespace convprop
