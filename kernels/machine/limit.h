// What the processor can do at most: chains of multiply-adds that never leave the registers.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "machine/lanes.h"
#include "machine/threads.h"

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

// Operations a second, a multiply-add being two, of all threads while all compute: the lower
// quartile of their times for some tens of microseconds, which others that want the processors
// mostly leave whole.
template <class T>
double multiply_add_limit(int threads, double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr long rounds = 1 << 13;
  static volatile T factor = T(0.5);  // read at run time, so that nothing is worked out beforehand
  std::vector<std::vector<double>> times(threads);
  const auto work = [&](int thread) {
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    for (auto start = Clock::now(), now = start; now < end || times[thread].empty(); start = now) {
      const volatile T kept = multiply_add_chains<T>(rounds, factor);
      (void)kept;
      now = Clock::now();
      times[thread].push_back(std::chrono::duration<double>(now - start).count());
    }
  };
  SharedPool::instance().run(threads, work);
  std::vector<double> all;
  for (const auto& own : times) all.insert(all.end(), own.begin(), own.end());
  const auto quartile = all.begin() + ptrdiff_t(all.size() / 4);
  std::nth_element(all.begin(), quartile, all.end());
  return 2.0 * LANES * CHAINS<T> * rounds * threads / *quartile;
}

}  // namespace convprop
