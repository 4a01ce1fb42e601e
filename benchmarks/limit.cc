// Prints what this machine can do at most:
//   limit THREADS MILLISECONDS            GFLOP/s (a fused multiply-add is two operations)
//   limit THREADS MILLISECONDS BYTES      GB/s, read and written alike, by threads that each
//                                         copy within so many bytes of their own
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "bounds.h"
#include "maps/layout.h"
#include "machine/threads.h"

using namespace convprop;
using Clock = std::chrono::steady_clock;

// What the threads do in a second, if each call of `call` does `each` per thread.
static double rate(int threads, int milliseconds, double each, const std::function<void(int)>& call) {
  ThreadPool pool(threads);
  std::atomic<long> calls{0};
  std::atomic<int> waiting{threads};
  std::vector<double> seconds(threads);
  pool.run([&](int thread) {
    call(thread);
    for (--waiting; waiting.load() > 0;) pause_processor();
    const auto start = Clock::now();
    const auto end = start + std::chrono::milliseconds(milliseconds);
    long mine = 0;
    for (; Clock::now() < end; mine++) call(thread);
    seconds[thread] = std::chrono::duration<double>(Clock::now() - start).count();
    calls += mine;
  });
  return each * double(calls.load()) / *std::max_element(seconds.begin(), seconds.end());
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const int milliseconds = argc > 2 ? std::atoi(argv[2]) : 100;
  const size_t bytes = argc > 3 ? size_t(std::atol(argv[3])) : 0;
  if (bytes == 0) {
    std::atomic<float> kept{0};
    const float factor = 0.5f * float(threads) / float(threads);
    std::printf("%.2f\n", 2e-9 * rate(threads, milliseconds, MULTIPLY_ADDS, [&](int) { kept.store(multiply_adds(factor)); }));
    return 0;
  }
  const size_t floats = bytes / 2 / sizeof(float);
  std::vector<Buffer<float>> in, out;
  for (int t = 0; t < threads; t++) in.emplace_back(floats), out.emplace_back(floats);
  std::printf("%.2f\n", 1e-9 * rate(threads, milliseconds, double(bytes), [&](int thread) {
    stream<1, 1>(in[thread].data(), out[thread].data(), long(floats) / LANES);
  }));
}
