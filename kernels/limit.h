// What the processor can do at most: chains of multiply-adds that never leave the registers.
#pragma once

#include <algorithm>
#include <chrono>

#include "lanes.h"
#include "threads.h"

namespace convprop {

// As many independent chains as hide the latency of two multiply-add units, and no more than
// there are registers for.
template <class T>
inline constexpr int CHAINS = Lanes<T>::PARTS < 12 ? 12 / Lanes<T>::PARTS : 1;

template <class T>
T multiply_add_chains(long rounds, T factor) {
  const Lanes<T> scale = factor, addend = T(1) - factor;
  Lanes<T> sum[CHAINS<T>];
  for (int c = 0; c < CHAINS<T>; c++) sum[c] = T(c);
  for (long r = 0; r < rounds; r++)
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS<T>; c++) sum[c] = fma(sum[c], scale, addend);
  T total = 0;
  for (int c = 0; c < CHAINS<T>; c++) total += sum_of_lanes(sum[c]);
  return total;
}

// Operations a second, a multiply-add being two, of all threads at once; the fastest of the
// runs of about a millisecond that fit into the time, since others may use the processors.
template <class T>
double multiply_add_limit(int threads, double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr long rounds = 1 << 17;
  static volatile T factor = T(0.5);  // read at run time, so that nothing is worked out beforehand
  const auto work = [](int) {
    const volatile T kept = multiply_add_chains<T>(rounds, factor);
    (void)kept;
  };
  double fastest = 1e300;
  for (const auto end = Clock::now() + std::chrono::duration<double>(seconds); Clock::now() < end;) {
    const auto start = Clock::now();
    SharedPool::instance().run(threads, work);
    fastest = std::min(fastest, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return 2.0 * LANES * CHAINS<T> * rounds * threads / fastest;
}

}  // namespace convprop
