// Random numbers that are a function of their place: Philox4x32-10 of Salmon, Moraes, Dror
// and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011). No state, so neither
// threads nor restarts show.
#pragma once

#include <array>
#include <cstdint>

#include "machine/lanes.h"

namespace convprop {

// Four 32-bit words for each of sixteen counters that differ in words 0 and 1 only.
struct RandomLanes {
  uint32_t word[4][LANES];
};

// Not inlined: by itself it is vectorised everywhere.
__attribute__((noinline)) inline void philox(RandomLanes& counter, uint64_t key) {
  uint32_t key0 = uint32_t(key), key1 = uint32_t(key >> 32);
  for (int round = 0; round < 10; round++, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u)
    for (int l = 0; l < LANES; l++) {
      const uint64_t a = uint64_t(0xD2511F53u) * counter.word[0][l], b = uint64_t(0xCD9E8D57u) * counter.word[2][l];
      const uint32_t x = counter.word[1][l], y = counter.word[3][l];
      counter.word[0][l] = uint32_t(b >> 32) ^ x ^ key0;
      counter.word[1][l] = uint32_t(b);
      counter.word[2][l] = uint32_t(a >> 32) ^ y ^ key1;
      counter.word[3][l] = uint32_t(a);
    }
}

// The words of a layer in a training step, of units and images from some on, counting so many a lane.
inline RandomLanes step_words(uint64_t key, uint64_t step, int layer, int units, int unit_step, int image, int image_step) {
  RandomLanes r;
  for (int l = 0; l < LANES; l++) {
    r.word[0][l] = uint32_t(units + l * unit_step);
    r.word[1][l] = uint32_t(image + l * image_step);
    r.word[2][l] = uint32_t(step);
    r.word[3][l] = uint32_t(step >> 32) ^ uint32_t(layer) << 16;
  }
  philox(r, key);
  return r;
}

// The first `count` 64-bit numbers of a stream.
inline void random_bits(uint64_t seed, uint64_t stream, uint64_t* out, uint64_t count) {
  for (uint64_t first = 0; first < count; first += 2 * LANES) {
    RandomLanes r;
    for (int l = 0; l < LANES; l++) {
      const uint64_t pair = first / 2 + l;
      r.word[0][l] = uint32_t(pair);
      r.word[1][l] = uint32_t(pair >> 32);
      r.word[2][l] = uint32_t(stream);
      r.word[3][l] = uint32_t(stream >> 32);
    }
    philox(r, seed);
    for (uint64_t n = first; n < count && n < first + 2 * LANES; n++) {
      const uint64_t l = (n - first) / 2, low = 2 * (n % 2);
      out[n] = r.word[low][l] | uint64_t(r.word[low + 1][l]) << 32;
    }
  }
}

}  // namespace convprop
