// Prints what this machine can do at most, in GFLOP/s (a fused multiply-add is two operations):
//   limit THREADS MILLISECONDS
// Each thread runs chains of multiply-adds over whole registers that never leave them.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;

// One register of the widest kind, and enough independent chains to hide the latency of two
// four-cycle multiply-add units while all of them stay in the register file.
#if defined(__AVX512F__)
constexpr int register_bytes = 64;
#elif defined(__AVX__)
constexpr int register_bytes = 32;
#else
constexpr int register_bytes = 16;
#endif
constexpr int lanes = register_bytes / int(sizeof(float));
constexpr int chains = 12;
typedef float Lanes __attribute__((vector_size(register_bytes)));
constexpr long rounds = 4096;

static float multiply_adds(float factor) {
  Lanes sum[chains], scale, addend;
  for (int l = 0; l < lanes; l++) scale[l] = factor, addend[l] = 1e-3f * float(l);
  for (int c = 0; c < chains; c++)
    for (int l = 0; l < lanes; l++) sum[c][l] = float(c);
  for (long r = 0; r < rounds; r++) {
#pragma GCC unroll 12
    for (int c = 0; c < chains; c++) sum[c] = sum[c] * scale + addend;
  }
  float total = 0;
  for (int c = 0; c < chains; c++)
    for (int l = 0; l < lanes; l++) total += sum[c][l];
  return total;
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const int milliseconds = argc > 2 ? std::atoi(argv[2]) : 100;
  // Read at run time, so that the compiler cannot work the sums out beforehand.
  const float factor = argc > 3 ? float(std::atof(argv[3])) : 0.5f;
  std::atomic<long> calls{0};
  std::atomic<float> kept{0};
  std::atomic<int> waiting{threads};
  std::vector<double> seconds(threads);
  auto work = [&](int thread) {
    kept.store(multiply_adds(factor));
    for (--waiting; waiting.load() > 0;) {
    }
    const auto start = Clock::now();
    const auto end = start + std::chrono::milliseconds(milliseconds);
    long mine = 0;
    for (; Clock::now() < end; mine++) kept.store(multiply_adds(factor));
    seconds[thread] = std::chrono::duration<double>(Clock::now() - start).count();
    calls += mine;
  };
  std::vector<std::thread> pool;
  for (int t = 1; t < threads; t++) pool.emplace_back(work, t);
  work(0);
  for (std::thread& thread : pool) thread.join();
  double longest = 0;
  for (double s : seconds) longest = s > longest ? s : longest;
  std::printf("%.2f\n", 2.0 * lanes * chains * rounds * double(calls.load()) / longest / 1e9);
}
