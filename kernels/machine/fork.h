// What a fork must not cut in two. A child has but the thread that forked: a lock that another one
// held stays locked in it for ever, and what another one had half done stays so. So a fork waits until
// nothing is being computed that a child could go on with, and the child begins with threads of its own.
#pragma once

#include <pthread.h>

#include <atomic>

namespace convprop {

// As long as one of these lives, a fork waits. They must not be nested: a thread that has one would
// wait for the fork that waits for it. What is done under one must end without Python's lock, which
// the thread that forks has.
class Undivided {
 public:
  Undivided() {
    for (;;) {
      inside_++;
      if (forks_ == 0) return;
      leave();
      for (int forks; (forks = forks_) != 0;) forks_.wait(forks);
    }
  }
  ~Undivided() { leave(); }
  Undivided(const Undivided&) = delete;
  Undivided& operator=(const Undivided&) = delete;

 private:
  static void leave() {
    if (--inside_ == 0) inside_.notify_all();
  }

  static inline std::atomic<int> inside_ = 0, forks_ = 0;

  // Of all threads that are about to fork, any may be the first.
  static inline const int handlers_ = pthread_atfork(
      [] {
        forks_++;
        for (int inside; (inside = inside_) != 0;) inside_.wait(inside);
      },
      [] {
        if (--forks_ == 0) forks_.notify_all();
      },
      [] { inside_ = forks_ = 0; });
};

}  // namespace convprop
