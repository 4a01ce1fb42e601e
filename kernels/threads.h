// The thread pool. Work is shared by static partition: thread t of n does the t-th share,
// so what is computed never depends on who is faster.
#pragma once

#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "lanes.h"

namespace convprop {

inline void pause_processor() {
#if defined(__x86_64__)
  _mm_pause();
#else
  __asm__ volatile("yield");
#endif
}

// Waits until `word` differs from `old`: spinning for some microseconds, since the next
// phase of a step is mostly that near, then asleep.
inline void wait_for_change(std::atomic<uint32_t>& word, uint32_t old) {
  for (int spin = 1; spin < 4000; spin++) {
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
  explicit Barrier(int threads = 1) { reset(threads); }

  // Only while nobody waits.
  void reset(int threads) {
    threads_ = threads;
    missing_.store(threads);
  }

  void arrive_and_wait() {
    const uint32_t round = round_.load(std::memory_order_relaxed);
    if (missing_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      missing_.store(threads_, std::memory_order_relaxed);
      round_.fetch_add(1, std::memory_order_release);
      round_.notify_all();
    } else {
      wait_for_change(round_, round);
    }
  }

 private:
  int threads_;
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

class ThreadPool {
 public:
  explicit ThreadPool(int threads) : done_(threads) {
    for (int t = 1; t < threads; t++) workers_.emplace_back([this, t] { serve(t); });
  }
  ~ThreadPool() {
    stop_ = true;
    start_.fetch_add(1, std::memory_order_release);
    start_.notify_all();
    for (auto& worker : workers_) worker.join();
  }
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
  void serve(int thread) {
    for (uint32_t seen = 0;; seen++) {
      wait_for_change(start_, seen);
      if (stop_) return;
      call(*work_, thread);
      done_.arrive_and_wait();
    }
  }

  Barrier done_;
  const Work* work_ = nullptr;
  std::atomic<bool> stop_{false};
  std::atomic<uint32_t> start_{0};
  std::vector<std::thread> workers_;
};

// The one pool of the process. Calls from several Python threads take turns on it. After a
// fork the child has none of the parent's threads, and starts its own.
class SharedPool {
 public:
  static SharedPool& instance() {
    static SharedPool* shared = new SharedPool;  // never destroyed: threads may outlive main
    return *shared;
  }

  int threads() const { return threads_; }
  void set_threads(int threads) { threads_ = threads; }

  void run(int threads, const Work& work) {
    if (threads == 1) return ThreadPool::call(work, 0);
    if (getpid() != owner_) {
      new (&turn_) std::mutex;  // the parent may have held it while forking
      (void)pool_.release();    // its threads do not exist here
      owner_ = getpid();
    }
    const std::lock_guard<std::mutex> lock(turn_);
    if (!pool_ || pool_->threads() != threads) {
      pool_.reset();
      pool_ = std::make_unique<ThreadPool>(threads);
    }
    pool_->run(work);
  }

 private:
  SharedPool() : owner_(getpid()) {}

  int threads_ = 1;  // until the caller says: hardware_concurrency() knows no affinity with glibc, and no quota
  pid_t owner_;
  std::mutex turn_;
  std::unique_ptr<ThreadPool> pool_;
};

}  // namespace convprop
