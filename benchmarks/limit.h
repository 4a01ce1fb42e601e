// Loops that do nothing but what bounds a kernel: multiply-adds in registers, and reading and
// writing memory.
#pragma once

#include "lanes.h"

namespace convprop {

// Independent chains of multiply-adds in whole registers that never leave them: enough to hide
// the latency of two four-cycle units, few enough to stay in the register file.
constexpr int CHAINS = 12 / Lanes<float>::PARTS;
constexpr long ROUNDS = 4096;
constexpr double MULTIPLY_ADDS = double(ROUNDS) * CHAINS * LANES;  // of one call

// `factor` must not be known to the compiler, which could work the sums out beforehand.
inline float multiply_adds(float factor) {
  Lanes<float> sum[CHAINS];
  const Lanes<float> scale = factor, addend = 1e-3f;
  for (int c = 0; c < CHAINS; c++) sum[c] = float(c);
  for (long r = 0; r < ROUNDS; r++) {
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) sum[c] = fma(sum[c], scale, addend);
  }
  Lanes<float> total = 0.0f;
  for (int c = 0; c < CHAINS; c++) total = total + sum[c];
  return sum_of_lanes(total);
}

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
