#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include <nanobind/nanobind.h>

namespace convprop {

// Gives the interpreter's lock away for a block. A daemon thread that comes back when the interpreter
// is ending waits for the end of the process, as Python 3.14 has it do. Before, Python ends such a
// thread by unwinding it, which C++ answers by ending the whole process with an error.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;
  ~Unlocked() {
    returning++;
    if (ended && std::this_thread::get_id() != last) {
      returning--;
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
    PyEval_RestoreThread(state_);
    returning--;
  }

  // A forked child has none of the threads that were coming back.
  static void forked() { returning = 0; }

  // Called by Python at its exit, while threads can still have the lock.
  static void end() {
    last = std::this_thread::get_id();
    ended = true;
    PyThreadState* const state = PyEval_SaveThread();
    // Who had come back before has the lock soon.
    for (int n = 0; returning && n < 1000; n++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    PyEval_RestoreThread(state);
    // What daemon threads hold outlives the interpreter, and is no leak.
    PyThreadState* const first = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    if (PyThreadState_Next(first)) nanobind::set_leak_warnings(false);
  }

 private:
  static inline std::atomic<int> returning = 0;
  static inline std::atomic<bool> ended = false;
  static inline std::thread::id last;
  PyThreadState* state_;
};

void define_augment(nanobind::module_& m);
void define_limit(nanobind::module_& m);
void define_ops(nanobind::module_& m);
void define_plan(nanobind::module_& m);

}  // namespace convprop
