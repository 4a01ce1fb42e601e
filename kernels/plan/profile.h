// What a profile tells apart, and how long each took.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

namespace convprop {

enum class Pass { images, forward, loss, weight_gradient, input_delta, update, wait };
inline constexpr const char* PASS_NAMES[] = {"images", "forward", "loss", "weight_gradient", "input_delta", "update", "wait"};
inline constexpr int PASSES = std::size(PASS_NAMES);

// Seconds by thread, layer and pass, where they are wanted. Layer -1 is what belongs to none.
class Profile {
 public:
  // From now on they are kept.
  void start(int threads, int layers) {
    layers_ = layers;
    seconds_.assign(size_t(threads) * (layers + 1) * PASSES, 0.0);
  }

  // Runs body, and where a profile is wanted adds the time it took.
  template <class Body>
  void timed(int thread, int layer, Pass pass, const Body& body) {
    if (seconds_.empty()) return body();
    const auto start = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    seconds_[(size_t(thread) * (layers_ + 1) + (layer + 1)) * PASSES + size_t(pass)] += taken.count();
  }

  // Of all threads together, and of the one that took longest; 0 for what has not run.
  struct Seconds {
    double all = 0, longest = 0;
  };
  Seconds seconds(int layer, Pass pass) const {
    Seconds seconds;
    for (size_t at = size_t(layer + 1) * PASSES + size_t(pass); at < seconds_.size(); at += size_t(layers_ + 1) * PASSES) {
      seconds.all += seconds_[at];
      seconds.longest = std::max(seconds.longest, seconds_[at]);
    }
    return seconds;
  }

 private:
  int layers_ = 0;
  std::vector<double> seconds_;  // empty without a profile
};

}  // namespace convprop
