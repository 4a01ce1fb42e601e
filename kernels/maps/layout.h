// Maps in blocks of sixteen images, the image innermost, and the way there and back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "maps/geometry.h"
#include "machine/lanes.h"
#include "machine/memory.h"

namespace convprop {

// C maps of H × W pixels for a run of blocks: pixel (i, j) of map c in block b starts at
// data + b·block + c·channel + i·row + j·pixel. Strides count scalars; a halo, where there
// is one, lies at negative i and j and beyond H and W. A block is sixteen images, a pixel
// LANES numbers; or one image, a pixel one number, where there are too few to fill the lanes.
template <class T>
struct Maps {
  T* data = nullptr;
  int C = 0, H = 0, W = 0;
  ptrdiff_t row = 0, channel = 0, block = 0, pixel = LANES;

  T* at(int b, int c, int i, int j) const { return data + b * block + c * channel + i * row + j * pixel; }
  ptrdiff_t features() const { return ptrdiff_t(C) * H * W; }
  // Whether a block, having no halo, is one row of features: what a dense layer reads.
  bool whole() const { return row == W * pixel && channel == H * row; }
  // These maps as those of the blocks from `first` on.
  Maps from(int first) const {
    Maps shifted = *this;
    shifted.data -= first * block;
    return shifted;
  }
};

template <class T, class Body>
void each_pixel(Range channels, const Maps<T>& maps, const Body& body) {
  for (int c = channels.begin; c < channels.end; c++)
    for (int i = 0; i < maps.H; i++)
      for (int j = 0; j < maps.W; j++) body(c, i, j);
}

struct Shape {
  int C, H, W;

  bool operator==(const Shape&) const = default;
};

inline int blocks_of(int images) { return images / LANES + (images % LANES != 0); }

// Maps with room for a halo round them, in memory of size(). Those of single images have room
// for two vectors behind each, since whole ones are read and written past a row's end.
template <class T>
struct Layout {
  Shape shape;
  Halo halo;
  int blocks;
  int pixel = LANES;

  ptrdiff_t row() const { return (ptrdiff_t(shape.W) + halo.before[1] + halo.after[1]) * pixel; }
  ptrdiff_t channel() const {
    const ptrdiff_t size = room_for(ptrdiff_t(shape.H) + halo.before[0] + halo.after[0], row());
    if (pixel == 1) return size + 2 * LANES;
    // An odd number of pixels, so that the same one of many maps lies in many sets of the cache.
    return size + (halo.any() && size / pixel % 2 == 0 ? pixel : 0);
  }
  ptrdiff_t block() const { return room_for(shape.C, channel()); }
  size_t size() const { return room_for(blocks, block()); }
  Maps<T> in(T* memory) const {
    return {memory + halo.before[0] * row() + ptrdiff_t(halo.before[1]) * pixel, shape.C, shape.H, shape.W, row(), channel(), block(), pixel};
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
  int first = 0;  // of a part of a batch, the place of its first image; `images` is where it ends
};

// Sixteen numbers of an array, as T.
template <class T, class Number>
CONVPROP_INLINE Lanes<T> load_as(const Number* from) {
  if constexpr (std::is_same_v<T, Number>) {
    return Lanes<T>::load(from);
  } else {
    alignas(VECTOR_BYTES) T cast[LANES];
    for (int l = 0; l < LANES; l++) cast[l] = T(from[l]);
    return Lanes<T>::load(cast);
  }
}

// Lanes past the last image are zero; their loss gradient is zero too, so they add nothing.
// A map is read sixteen pixels of sixteen images at a time, and turned round in registers.
template <class T, class Pixel>
void to_lanes(const Batch<T, Pixel>& batch, const Maps<T>& o, int block) {
  const ptrdiff_t map_size = ptrdiff_t(o.H) * o.W;
  const int lanes = batch.images - block * LANES < LANES ? batch.images - block * LANES : LANES;
  const Pixel* image[LANES];
  for (int l = 0; l < LANES; l++) {
    const int64_t n = block * LANES + (l < lanes ? l : 0) - batch.first;
    image[l] = batch.pixels + (batch.index ? batch.index[n] : n) * o.C * map_size;
  }
  alignas(VECTOR_BYTES) T present[LANES];
  for (int l = 0; l < LANES; l++) present[l] = T(l < lanes);
  const auto here = Lanes<T>::load(present) > Lanes<T>(T(0));
  for (int c = 0; c < o.C; c++) {
    const Lanes<T> offset = batch.offset ? batch.offset[c] : T(0), scale = batch.scale ? batch.scale[c] : T(1);
    int i = 0, j = 0;
    const auto put = [&](const Lanes<T>& pixel) {
      const Lanes<T> value = (pixel - offset) * scale;
      (lanes < LANES ? select(here, value, Lanes<T>(T(0))) : value).store(o.at(block, c, i, j));
      if (++j == o.W) j = 0, i++;
    };
    ptrdiff_t pixel = 0;
    for (; pixel + LANES <= map_size; pixel += LANES) {
      Lanes<T> rows[LANES];
#pragma GCC unroll 16
      for (int l = 0; l < LANES; l++) rows[l] = load_as<T>(image[l] + c * map_size + pixel);
      transpose(rows);
#pragma GCC unroll 16
      for (int p = 0; p < LANES; p++) put(rows[p]);
    }
    for (; pixel < map_size; pixel++) {
      alignas(VECTOR_BYTES) T gathered[LANES];
      for (int l = 0; l < LANES; l++) gathered[l] = T(image[l][c * map_size + pixel]);
      put(Lanes<T>::load(gathered));
    }
  }
}

// One block of maps to images [n][C][H][W], in the type of the array.
template <class T, class Out>
void from_lanes(const Maps<T>& o, int block, int images, Out* out) {
  const ptrdiff_t map_size = ptrdiff_t(o.H) * o.W, image_size = o.features();
  const int lanes = images - block * LANES < LANES ? images - block * LANES : LANES;
  Out* first = out + block * LANES * image_size;
  for (int c = 0; c < o.C; c++) {
    int i = 0, j = 0;
    const auto next = [&] {
      const T* at = o.at(block, c, i, j);
      if (++j == o.W) j = 0, i++;
      return at;
    };
    ptrdiff_t pixel = c * map_size;
    if constexpr (std::is_same_v<T, Out>)
      for (; pixel + LANES <= (c + 1) * map_size && lanes == LANES; pixel += LANES) {
        Lanes<T> rows[LANES];
#pragma GCC unroll 16
        for (int p = 0; p < LANES; p++) rows[p] = Lanes<T>::load(next());
        transpose(rows);
#pragma GCC unroll 16
        for (int l = 0; l < LANES; l++) rows[l].store(first + l * image_size + pixel);
      }
    for (; pixel < (c + 1) * map_size; pixel++) {
      const T* lane = next();
      for (int l = 0; l < lanes; l++) first[l * image_size + pixel] = Out(lane[l]);
    }
  }
}

// One image into maps whose pixels are single numbers.
template <class T, class Pixel>
void to_maps(const Batch<T, Pixel>& batch, const Maps<T>& o, int n) {
  const Pixel* pixel = batch.pixels + (batch.index ? batch.index[n] : n) * o.features();
  for (int c = 0; c < o.C; c++) {
    const T offset = batch.offset ? batch.offset[c] : T(0), scale = batch.scale ? batch.scale[c] : T(1);
    for (int i = 0; i < o.H; i++, pixel += o.W) {
      T* row = o.at(n, c, i, 0);
      for (int j = 0; j < o.W; j++) row[j] = (T(pixel[j]) - offset) * scale;
    }
  }
}

// Sixteen images side by side to one row an image: out[l][f] = in[f][l], for all features.
template <class T>
void to_rows(const T* in, ptrdiff_t features, T* out, ptrdiff_t out_row) {
  ptrdiff_t f = 0;
  for (; f + LANES <= features; f += LANES) {
    Lanes<T> rows[LANES];
#pragma GCC unroll 16
    for (int k = 0; k < LANES; k++) rows[k] = Lanes<T>::load(in + (f + k) * LANES);
    transpose(rows);
#pragma GCC unroll 16
    for (int l = 0; l < LANES; l++) rows[l].store(out + l * out_row + f);
  }
  for (; f < features; f++)
    for (int l = 0; l < LANES; l++) out[l * out_row + f] = in[f * LANES + l];
}

}  // namespace convprop
