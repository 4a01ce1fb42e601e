// The end of a step: gradients summed over all images, and the update.
#include <cmath>

#include "plan/plan.h"

namespace convprop {

// Adds up the gradients of all groups and updates: every thread its own share of the elements.
template <class T>
void Plan<T>::finish(int thread) {
  if (by_image_) {
    for (Operation& operation : operations_)
      std::visit([&](const auto& op) {
        if constexpr (requires { op.gather_images(0, thread, threads_); })
          timed(thread, operation.layer, Pass::weight_gradient, [&] { op.gather_images(images_.count, thread, threads_); });
      }, operation.op);
    meet_all(thread);
  }
  const bool updates = descent_ && std::isfinite(total_loss().loss), clips = updates && descent_->clip_norm > 0;
  for (Operation& operation : operations_)
    std::visit([&](const auto& op) {
      if constexpr (requires { op.gather(0, step_, thread, threads_); })
        for (int p = 0; p < operation.trained; p++) {
          Range made{0, 0};
          timed(thread, operation.layer, Pass::weight_gradient, [&] { made = op.gather(p, step_, thread, threads_); });
          if (updates && !clips)
            timed(thread, operation.layer, Pass::update, [&] { update_range(operation.first_parameter + p, made.begin, made.end); });
        }
    }, operation.op);
  const Share at{&step_, nullptr, thread, 0, 0, 1, {0, 0}, {0, 0}};
  for (Operation& operation : operations_)
    std::visit([&](const auto& op) {
      if constexpr (requires { op.keep_statistics(operands(operation, at), thread, threads_); })
        if (updates) op.keep_statistics(operands(operation, at), thread, threads_);
    }, operation.op);
  if (clips) clip_and_update(thread);
}

// The norm comes from sums of squares over runs of elements that are the same for any number of
// threads, each in lanes; these sums are added up in order.
template <class T>
void Plan<T>::clip_and_update(int thread) {
  meet_all(thread);
  const Range mine = share(int(pieces_.size()), thread, threads_);
  timed(thread, -1, Pass::update, [&] {
    for (int r = mine.begin; r < mine.end; r++) {
      const auto [parameter, begin, end] = pieces_[r];
      const T* g = gradients_[parameter];
      Lanes<T> sum = T(0);
      ptrdiff_t i = begin;
      for (; i + LANES <= end; i += LANES) sum = fma(Lanes<T>::load(g + i), Lanes<T>::load(g + i), sum);
      alignas(VECTOR_BYTES) T tail[LANES] = {};
      std::copy(g + i, g + end, tail);
      square_sums_[r] = sum_of_lanes(fma(Lanes<T>::load(tail), Lanes<T>::load(tail), sum));
    }
  });
  meet_all(thread);
  timed(thread, -1, Pass::update, [&] {
    double squares = 0;
    for (double sum : square_sums_) squares += sum;
    const double norm = __builtin_sqrt(squares);
    for (int r = mine.begin; r < mine.end; r++) {
      const auto [parameter, begin, end] = pieces_[r];
      if (norm > descent_->clip_norm) {
        const T scale = T(descent_->clip_norm / norm);
        for (ptrdiff_t i = begin; i < end; i++) gradients_[parameter][i] *= scale;
      }
      update_range(parameter, begin, end);
    }
  });
}

template <class T>
void Plan<T>::update_range(int parameter, ptrdiff_t begin, ptrdiff_t end) {
  const int slots = optimizer_.slots();
  T* const* state = state_.data() + ptrdiff_t(state_of_[parameter]) * slots;
  update(optimizer_, descent_->learning_rate, step_.number, parameters_[parameter], gradients_[parameter], state[0], slots > 1 ? state[1] : nullptr,
         begin, end);
}

template class Plan<float>;
template class Plan<double>;

}  // namespace convprop
