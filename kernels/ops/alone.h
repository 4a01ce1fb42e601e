// An operation that reads one value by itself, outside of a plan: over all the blocks of what it reads.
#pragma once

#include "ops/operands.h"

namespace convprop {

template <class T, class One>
class Alone {
 public:
  Alone(const Description& description, const Shape& in, int images, int threads)
      : op_(description, in, Way{Mode::inspect, false}), in_(in), step_{{images}}, threads_(threads) {
    lay_out();
    arena_.allocate();
    lay_out();
  }

  const One& op() const { return op_; }
  const Step& step() const { return step_; }
  // Each may be called by several threads, each with blocks of its own.
  void forward(const Maps<T>& o, T* const* parameters, const Maps<T>& x, Range blocks, int thread) const {
    with(o, {}, parameters, x, {}, blocks, thread, [&](const auto& v, const Share& at) { op_.forward(v, blocks, at); });
  }
  // Behind forward(), whose x it is: sets the delta of what it reads.
  void input_delta(const Maps<T>& o, T* const* parameters, const Maps<T>& x, const Maps<T>& delta, const Maps<T>& to, Range blocks,
                   int thread) const {
    with(o, to, parameters, x, delta, blocks, thread, [&](const auto& v, const Share& at) {
      if constexpr (requires { op_.make_delta(v, blocks, at); }) op_.make_delta(v, blocks, at);
      op_.input_delta(v, blocks, at);
    });
  }

  // body(operands, share) for these arrays.
  template <class Body>
  void with(const Maps<T>& o, const Maps<T>& to, T* const* parameters, const Maps<T>& x, const Maps<T>& delta, Range blocks, int thread,
           const Body& body) const {
    const auto value = [](const Shape& shape, const Maps<T>& maps, const Maps<T>& error) {
      Value<T> whole{shape};
      whole.whole_batch = whole.whole_delta = true;
      whole.o = {maps};
      whole.delta = {error};
      return whole;
    };
    const Value<T> read = value(in_, o, to), gives = value({x.C, x.H, x.W}, x, delta);
    const std::vector<Reading<T>> reads{{&read}};
    const Share at{&step_, nullptr, thread, 0, 0, 1, {}, blocks};
    body(Operands<T>{at, reads, gives, parameters, scratch_.empty() ? nullptr : scratch_[thread], 0}, at);
  }

 private:
  One op_;
  Shape in_;
  Step step_;
  int threads_;
  Arena arena_;
  std::vector<T*> scratch_;

  void lay_out() {
    const int blocks = step_.groups.blocks();
    const Memory memory{arena_, Mode::inspect, step_.groups.images, blocks, blocks, step_.groups.count(), 1, threads_, blocks};
    if constexpr (requires { op_.place(memory, false); }) op_.place(memory, false);
    scratch_.clear();
    for (int t = 0; t < threads_; t++)
      if constexpr (requires { op_.scratch(Mode::inspect); }) scratch_.push_back(arena_.take<T>(op_.scratch(Mode::inspect)));
  }
};

}  // namespace convprop
