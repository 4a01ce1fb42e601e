// The pool's threads where they are more than the processors, and where the process forks.
//
// Threads that are more than the processors do not spin while they wait, since the one waited for may
// need theirs. Children of a process whose threads compute: each uses the network that they compute with, from
// several threads at once, and finds its locks open and a pool that is its own. ThreadSanitizer knows
// no thread that begins in the child of a process that had some; under it, the children come before
// the threads, and it watches both for races.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "plan/plan.h"

namespace {

using namespace convprop;

#if defined(__SANITIZE_THREAD__)
constexpr bool THREADS_FIRST = false;
#else
constexpr bool THREADS_FIRST = true;
#endif
constexpr int BATCH = 20, OUTPUTS = 3, THREADS = 3;

struct Network {
  std::vector<std::vector<float>> parameters, state;
  Plan<float> training, predicting;
  const std::vector<uint8_t> pixels = std::vector<uint8_t>(BATCH * 64, 100);
  const std::vector<int32_t> labels = std::vector<int32_t>(BATCH, 1);
  const float offset = 127, scale = 1.0f / 127;

  static std::vector<std::string> layers() {
    return {"conv reads=0 kernels=5 kernel_size=3,3 stride=1,1 padding=0,0,0,0 dilation=1,1 padding_value=0 groups=1 bias=1 "
            "flip_kernel=0 algorithm=direct",
            "dense reads=1 units=" + std::to_string(OUTPUTS) + " bias=1"};
  }

  explicit Network(int count)
      : training({1, 8, 8}, layers(), Loss::softmax_cross_entropy, true, BATCH, Mode::train, count),
        predicting({1, 8, 8}, layers(), Loss::softmax_cross_entropy, true, BATCH, Mode::predict, count) {
    std::vector<float*> p, s;
    for (const auto& shape : training.parameter_shapes()) {
      size_t size = 1;
      for (ptrdiff_t length : shape) size *= length;
      parameters.emplace_back(size, 0.01f), state.emplace_back(size);
    }
    for (auto& values : parameters) p.push_back(values.data());
    for (auto& values : state) s.push_back(values.data());
    training.bind(p), predicting.bind(p);
    training.bind_optimizer(Optimizer{}, s);
  }

  Images<float> images() const { return {pixels.data(), nullptr, nullptr, BATCH, &offset, &scale}; }
  // With a learning rate of 0 the weights stay as they are.
  void step() { training.train_step(images(), {labels.data(), nullptr, nullptr}, nullptr, 0, 1, 7); }
  std::vector<float> predict() {
    std::vector<float> out(BATCH * OUTPUTS);
    predicting.predict(images(), out.data());
    return out;
  }
};

// Ends the child; a hang is ended by the alarm.
[[noreturn]] void child(Network& network, const std::vector<float>& expected) {
  alarm(60);
  std::atomic<int> right{0}, ready{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&, t] {
      for (ready++; ready < 4;) std::this_thread::yield();
      if (t % 2) network.step();
      right += network.predict() == expected;
    });
  for (auto& thread : threads) thread.join();
  _exit(right == 4 ? 0 : 1);
}

}  // namespace

int main(int argc, char** argv) {
  const int forks = argc > 1 ? std::atoi(argv[1]) : 200;
  SharedPool::instance().set_threads(THREADS, 2);
  const bool spins = SharedPool::instance().spins(2) == SPINS && SharedPool::instance().spins(3) == 0;
  if (!spins) std::printf("FAIL threads that are more than the processors spin\n");
  Network network(THREADS);
  const std::vector<float> expected = Network(1).predict();  // without the pool
  std::atomic<int> turns{0};
  std::atomic<bool> ended{false};
  std::vector<std::thread> threads;
  const auto begin = [&] {
    for (int t = 0; t < 2; t++)
      threads.emplace_back([&, t] {
        for (; !ended; turns++) t ? network.step() : void(network.predict());
      });
  };
  if (THREADS_FIRST) begin();
  int wrong = 0;
  for (int n = 0; n < forks; n++) {
    const pid_t process = fork();
    if (process == 0) child(network, expected);
    int status = 0;
    if (process < 0 || waitpid(process, &status, 0) != process || status != 0) wrong++;
  }
  if (!THREADS_FIRST) begin();
  while (turns < 100) std::this_thread::yield();
  ended = true;
  for (auto& thread : threads) thread.join();
  std::printf("%d forks beside threads that compute, %d children wrong or hanging\n", forks, wrong);
  return !spins || wrong != 0;
}
