// Loops that do nothing but what bounds a kernel: multiply-adds in registers, and reading and
// writing memory.
#pragma once

#include "machine/limit.h"

namespace convprop {

constexpr long ROUNDS = 4096;
constexpr double MULTIPLY_ADDS = double(ROUNDS) * CHAINS<float> * LANES;  // of one call

// `factor` must not be known to the compiler, which could work the sums out beforehand.
inline float multiply_adds(float factor) { return multiply_add_chains<float>(ROUNDS, factor); }

// For each of `count` places: adds up READS × 16 floats of `in`, and writes WRITES × 16 of them
// to `out`, both from beginning to end.
template <int READS, int WRITES>
void stream(const float* in, float* out, long count) {
  for (long p = 0; p < count; p++, in += READS * LANES, out += WRITES * LANES) {
    Lanes<float> sum = Lanes<float>::load(in);
#pragma GCC unroll 8
    for (int r = 1; r < READS; r++) sum = sum + Lanes<float>::load(in + r * LANES);
#pragma GCC unroll 8
    for (int w = 0; w < WRITES; w++) sum.store(out + w * LANES);
  }
}

}  // namespace convprop
