// Times one case's kernels in their own layout, blocks of sixteen images, each thread its own:
//   kernels THREADS REPEATS MEMORY L2 conv C K k1 k2 H W stride dilation padding groups blocks
//   kernels THREADS REPEATS MEMORY L2 pool KIND C H W                  2×2, apart
//   kernels THREADS REPEATS MEMORY L2 activation KIND C H W
// and prints a line a computation and bound: their names, the milliseconds of one block in one
// thread (median, quartiles), and the rate that all threads reach beside that of a loop which does
// nothing else, timed in between. Convolutions are bound by multiply-adds (GFLOP/s); depthwise
// ones, and the others, by moving bytes (GB/s): within MEMORY bytes a thread and within L2. What
// is no faster within L1 ("l1") is bound by its arithmetic.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "bounds.h"
#include "machine/threads.h"
#include "ops/activation.h"
#include "ops/conv.h"
#include "ops/pool.h"

using namespace convprop;
using Call = std::function<void(int)>;

static double quantile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  const double place = part * double(values.size() - 1);
  const size_t below = size_t(place);
  const double above = values[std::min(below + 1, values.size() - 1)];
  return values[below] + (place - double(below)) * (above - values[below]);
}

// A kernel and the loop that bounds it: both do `amount` of the same for each of `blocks` that a
// thread takes in a call.
struct Pair {
  const char* computation;
  const char* bound;
  double amount, loop_amount;
  int blocks;
  Call kernel, loop;
};

class Stopwatch {
 public:
  Stopwatch(int threads, int repeats) : pool_(threads), repeats_(repeats) {}

  void measure(const Pair& pair) {
    std::vector<double> kernel, loop;
    const long kernel_calls = calls(pair.kernel), loop_calls = calls(pair.loop);
    for (int r = 0; r < repeats_; r++) {
      loop.push_back(seconds(pair.loop, loop_calls));
      kernel.push_back(seconds(pair.kernel, kernel_calls));
    }
    const auto block_ms = [&](double part) { return 1e3 * quantile(kernel, part) / pair.blocks; };
    const auto rate = [&](double amount, const std::vector<double>& taken) {
      return 1e-9 * amount * pool_.threads() / quantile(taken, 0.5);
    };
    std::printf("%s %s %.6f %.6f %.6f %.3f %.3f\n", pair.computation, pair.bound, block_ms(0.5), block_ms(0.25), block_ms(0.75),
                rate(pair.amount, kernel), rate(pair.loop_amount, loop));
  }
  int threads() const { return pool_.threads(); }

 private:
  double seconds(const Call& call, long times) {
    const auto start = std::chrono::steady_clock::now();
    pool_.run([&](int thread) {
      for (long n = 0; n < times; n++) call(thread);
    });
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / double(times);
  }
  // As many as take five milliseconds.
  long calls(const Call& call) {
    seconds(call, 1);
    return std::max(1L, long(5e-3 / seconds(call, 1)));
  }

  ThreadPool pool_;
  int repeats_;
};

// Blocks of maps for each thread, all pixels set and the halo zero.
class PerThread {
 public:
  PerThread(int threads, int blocks, Shape shape, const Halo& halo = {}) {
    uint32_t state = 1;
    for (int t = 0; t < threads; t++) {
      all_.emplace_back(blocks * LANES, shape, halo);
      const Maps<float>& maps = all_.back().maps;
      for (int b = 0; b < blocks; b++)
        for (int c = 0; c < shape.C; c++)
          for (int i = 0; i < shape.H; i++)
            for (int j = 0; j < shape.W * LANES; j++)
              maps.at(b, c, i, 0)[j] = float(int32_t(state = state * 1664525u + 1013904223u)) * 0x1p-31f;
    }
  }
  const Maps<float>& operator[](int thread) const { return all_[thread].maps; }

 private:
  std::vector<LaneImages<float>> all_;
};

// Beside the loop that reads READS and writes WRITES values for each output pixel.
template <int READS, int WRITES>
static void time_moves(Stopwatch& watch, const char* computation, const char* bound, Shape output, int blocks, const Call& kernel) {
  const long count = long(output.C) * output.H * output.W * blocks;
  const double bytes = double(count) * (READS + WRITES) * LANES * sizeof(float);
  std::vector<Buffer<float>> in, out;
  for (int t = 0; t < watch.threads(); t++) in.emplace_back(count * READS * LANES), out.emplace_back(count * WRITES * LANES);
  watch.measure({computation, bound, bytes, bytes, blocks, kernel, [&](int t) { stream<READS, WRITES>(in[t].data(), out[t].data(), count); }});
}

static void time_conv(Stopwatch& watch, const int* at) {
  const auto [C, K, k1, k2, H, W] = std::to_array({at[0], at[1], at[2], at[3], at[4], at[5]});
  const int stride = at[6], dilation = at[7], padding = at[8], groups = at[9], blocks = (at[10] + watch.threads() - 1) / watch.threads();
  const Window window{{k1, k2}, {stride, stride}, {dilation, dilation}, {padding, padding}, {padding, padding}};
  const ConvLayer<float> conv(C, H, W, K, window, groups, false);
  const PerThread o(watch.threads(), blocks, {C, H, W}, input_halo(window)), x(watch.threads(), blocks, {K, conv.Ho, conv.Wo});
  const PerThread delta(watch.threads(), blocks, {K, conv.Ho, conv.Wo}, delta_halo(window, W)), delta_in(watch.threads(), blocks, {C, H, W});
  std::vector<float> w(size_t(conv.weights()), 0.01f), b(size_t(K), 0.1f);
  std::vector<std::vector<float>> dw(size_t(watch.threads()), std::vector<float>(w.size()));
  const double flops = 2.0 * double(conv.weights()) * conv.Ho * conv.Wo * LANES * blocks;
  std::atomic<float> kept{0};
  const float factor = 0.5f * float(watch.threads()) / float(watch.threads());
  const char* const input_delta = "input_delta";
  const auto each = [&](const char* computation, const auto& kernel) {
    const auto all_blocks = [&](int thread) {
      for (int block = 0; block < blocks; block++) kernel(thread, block);
    };
    watch.measure({computation, "multiply_adds", flops, 2.0 * MULTIPLY_ADDS, blocks, all_blocks, [&](int) { kept = multiply_adds(factor); }});
    // Nine multiply-adds or so for two values moved, or for five where a stride of 2 takes every fourth pixel.
    if (groups != C || K != C) return;
    const Shape output{K, conv.Ho, conv.Wo};
    if (stride == 1) time_moves<1, 1>(watch, computation, "memory", output, blocks, all_blocks);
    else if (computation == input_delta) time_moves<1, 4>(watch, computation, "memory", output, blocks, all_blocks);
    else time_moves<4, 1>(watch, computation, "memory", output, blocks, all_blocks);
  };
  each("forward", [&](int t, int block) { conv.forward(o[t], w.data(), b.data(), x[t], block, {0, K}, {}); });
  each("weight_gradient", [&](int t, int block) { conv.weight_gradient(o[t], delta[t], dw[t].data(), block, {0, K}); });
  each(input_delta, [&](int t, int block) { conv.input_delta(delta[t], w.data(), delta_in[t], block, {0, C}); });
}

// A part of any processor's.
constexpr double L1_BYTES = 24576;

// Calls time(bound, channels, rows, blocks) with maps that fill the memory given, the cache given
// and the nearest one, where the largest computation moves so many bytes for each row of a map.
template <class Time>
static void within(const long* bytes, int C, int H, double row_bytes, const Time& time) {
  time("memory", C, H, std::max(1, int(double(bytes[0]) / (C * H * row_bytes))));
  time("l2", std::clamp(int(double(bytes[1]) / (H * row_bytes)), 1, C), H, 1);
  time("l1", 1, std::clamp(int(L1_BYTES / row_bytes) / 2 * 2, 2, H), 1);
}

static void time_pool(Stopwatch& watch, const long* bytes, const std::string& kind, const int* at) {
  const Description description("pool pool=" + kind + " size=2,2 stride=2,2 padding=0,0,0,0 count_padding=1");
  const int W = at[2];
  // input_delta of L2 pooling reads and writes ten values for each output.
  within(bytes, at[0], at[1], 5.0 * (W / 2) * LANES * sizeof(float), [&](const char* bound, int C, int H, int blocks) {
    const PoolLayer<float> pool(description, {C, H, W});
    const Shape output{C, pool.Ho, pool.Wo};
    const PerThread o(watch.threads(), blocks, {C, H, W}), x(watch.threads(), blocks, output);
    const PerThread delta(watch.threads(), blocks, output), delta_in(watch.threads(), blocks, {C, H, W});
    std::vector<LaneImages<int32_t>> winner;
    for (int t = 0; t < watch.threads(); t++) winner.emplace_back(blocks * LANES, output);
    const Call forward = [&](int t) {
      for (int block = 0; block < blocks; block++) pool.forward(o[t], x[t], winner[t].maps, block, {0, C});
    };
    const Call input_delta = [&](int t) {
      for (int block = 0; block < blocks; block++) pool.input_delta(delta[t], o[t], x[t], winner[t].maps, delta_in[t], block, {0, C});
    };
    if (kind == "max") time_moves<4, 2>(watch, "forward", bound, output, blocks, forward);
    else time_moves<4, 1>(watch, "forward", bound, output, blocks, forward);
    if (kind == "max") time_moves<2, 4>(watch, "input_delta", bound, output, blocks, input_delta);
    else if (kind == "average") time_moves<1, 4>(watch, "input_delta", bound, output, blocks, input_delta);
    else time_moves<6, 4>(watch, "input_delta", bound, output, blocks, input_delta);
  });
}

static void time_activation(Stopwatch& watch, const long* bytes, const std::string& kind, const int* at) {
  const ActivationLayer<float> activation(Description("activation activation=" + kind));
  const int W = at[2];
  within(bytes, at[0], at[1], 3.0 * W * LANES * sizeof(float), [&](const char* bound, int C, int H, int blocks) {
    const Shape shape{C, H, W};
    const PerThread x(watch.threads(), blocks, shape), o(watch.threads(), blocks, shape);
    const PerThread delta(watch.threads(), blocks, shape), delta_in(watch.threads(), blocks, shape);
    time_moves<1, 1>(watch, "forward", bound, shape, blocks, [&](int t) {
      for (int block = 0; block < blocks; block++) activation.forward(x[t], o[t], block, {0, C});
    });
    time_moves<2, 1>(watch, "input_delta", bound, shape, blocks, [&](int t) {
      for (int block = 0; block < blocks; block++) activation.input_delta(delta[t], o[t], o[t], delta_in[t], block, {0, C});
    });
  });
}

int main(int argc, char** argv) {
  if (argc < 10) return 2;
  Stopwatch watch(std::atoi(argv[1]), std::atoi(argv[2]));
  const long bytes[] = {std::atol(argv[3]), std::atol(argv[4])};
  const std::string operation = argv[5], kind = argv[6];
  std::vector<int> at;
  for (int a = operation == "conv" ? 6 : 7; a < argc; a++) at.push_back(std::atoi(argv[a]));
  if (operation == "conv") time_conv(watch, at.data());
  else if (operation == "pool") time_pool(watch, bytes, kind, at.data());
  else time_activation(watch, bytes, kind, at.data());
}
