// The thread pool. Work is shared by static partition: thread t of n does the t-th share,
// so what is computed never depends on who is faster.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "machine/lanes.h"

namespace convprop {

inline void pause_processor() {
#if defined(__x86_64__)
  _mm_pause();
#else
  __asm__ volatile("yield");
#endif
}

// The next phase of a step is mostly some microseconds away, so that to spin for it is faster than to
// sleep; but not where the one waited for needs the processor: threads that are more than the
// processors do not spin.
inline constexpr int SPINS = 4000;

// Waits until `word` differs from `old`: spinning, then asleep.
inline void wait_for_change(std::atomic<uint32_t>& word, uint32_t old, int spins) {
  for (int spin = 1; spin < spins; spin++) {
    if (word.load(std::memory_order_acquire) != old) return;
    // The one waited for may be waiting for this very processor.
    if (spin % 128 == 0) std::this_thread::yield();
    else pause_processor();
  }
  while (word.load(std::memory_order_acquire) == old) word.wait(old, std::memory_order_acquire);
}

// A meeting point for a fixed number of threads, to be used again and again.
class Barrier {
 public:
  explicit Barrier(int threads = 1, int spins = SPINS) { reset(threads, spins); }

  // Only while nobody waits.
  void reset(int threads, int spins) {
    threads_ = threads, spins_ = spins;
    missing_.store(threads);
  }

  void arrive_and_wait() {
    const uint32_t round = round_.load(std::memory_order_relaxed);
    if (missing_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      missing_.store(threads_, std::memory_order_relaxed);
      round_.fetch_add(1, std::memory_order_release);
      round_.notify_all();
    } else {
      wait_for_change(round_, round, spins_);
    }
  }

 private:
  int threads_, spins_;
  std::atomic<int> missing_;
  std::atomic<uint32_t> round_{0};
};

// A reference to something callable with a thread's number; unlike std::function it never
// allocates.
class Work {
 public:
  template <class F>
  Work(const F& f) : object_(&f), call_([](const void* object, int thread) { (*static_cast<const F*>(object))(thread); }) {}
  void operator()(int thread) const { call_(object_, thread); }

 private:
  const void* object_;
  void (*call_)(const void*, int);
};

// The system starts no more threads: for want of memory, or of leave.
struct TooFewThreads : std::runtime_error {
  TooFewThreads(int asked, int started)
      : std::runtime_error("threads must be at most the " + std::to_string(started) + " that this process can start, got " +
                           std::to_string(asked)) {}
};

class ThreadPool {
 public:
  explicit ThreadPool(int threads, int spins = SPINS) : done_(threads, spins), spins_(spins) {
    workers_.reserve(threads - 1);
    try {
      for (int t = 1; t < threads; t++) workers_.emplace_back([this, t] { serve(t); });
    } catch (const std::exception&) {  // std::system_error, or std::bad_alloc
      end();
      throw TooFewThreads(threads, int(workers_.size()) + 1);
    }
  }
  ~ThreadPool() { end(); }
  int threads() const { return int(workers_.size()) + 1; }

  // Runs work(0) ... work(threads - 1), work(0) here, and returns when all have ended. Work
  // must not throw: it runs on arrays that were checked before.
  void run(const Work& work) {
    work_ = &work;
    start_.fetch_add(1, std::memory_order_release);
    start_.notify_all();
    call(work, 0);
    done_.arrive_and_wait();
  }

  static void call(const Work& work, int thread) {
    const FloatSettings settings;
    work(thread);
  }

 private:
  void end() {
    stop_ = true;
    start_.fetch_add(1, std::memory_order_release);
    start_.notify_all();
    for (auto& worker : workers_) worker.join();
  }

  void serve(int thread) {
    for (uint32_t seen = 0;; seen++) {
      wait_for_change(start_, seen, spins_);
      if (stop_) return;
      call(*work_, thread);
      done_.arrive_and_wait();
    }
  }

  Barrier done_;
  const int spins_;
  const Work* work_ = nullptr;
  std::atomic<bool> stop_{false};
  std::atomic<uint32_t> start_{0};
  std::vector<std::thread> workers_;
};

// The one pool of the process. Calls from several Python threads take turns on it. A forked child
// has none of the parent's threads, and starts its own.
class SharedPool {
 public:
  static SharedPool& instance() {
    static SharedPool* shared = new SharedPool;  // never destroyed: threads may outlive main
    return *shared;
  }

  int threads() const { return threads_; }
  // So many threads, on so many processors.
  void set_threads(int threads, int processors) { threads_ = threads, processors_ = processors; }
  int spins(int threads) const { return threads > processors_ ? 0 : SPINS; }

  void run(int threads, const Work& work) {
    if (threads == 1) return ThreadPool::call(work, 0);
    const std::lock_guard<std::mutex> lock(turn_);
    if (!pool_ || pool_->threads() != threads || spins_ != spins(threads)) {
      pool_.reset();
      spins_ = spins(threads);
      pool_ = std::make_unique<ThreadPool>(threads, spins_);
    }
    pool_->run(work);
  }

 private:
  SharedPool() {
    // Before the child has a second thread that could come here.
    pthread_atfork(nullptr, nullptr, [] {
      SharedPool& shared = instance();
      new (&shared.turn_) std::mutex;  // another thread of the parent may have held it
      (void)shared.pool_.release();    // its threads do not exist here
    });
  }

  // Until the caller says: hardware_concurrency() knows no affinity with glibc, and no quota.
  std::atomic<int> threads_ = 1, processors_ = int(std::max(1u, std::thread::hardware_concurrency()));
  int spins_ = SPINS;  // of the pool's threads
  std::mutex turn_;
  std::unique_ptr<ThreadPool> pool_;
};

}  // namespace convprop
