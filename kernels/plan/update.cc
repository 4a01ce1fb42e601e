// The end of a step: gradients summed over all images, and the update.
#include <cmath>

#include "plan/plan.h"

namespace convprop {

template <class T>
void Plan<T>::bind_optimizer(const Optimizer& optimizer, const std::vector<T*>& state, const std::vector<Factors>& factors) {
  optimizer_ = optimizer;
  const size_t slots = size_t(optimizer.slots());
  state_.assign(slots * parameter_shapes_.size(), nullptr);
  factors_.assign(parameter_shapes_.size(), {});
  for (size_t t = 0; t < trained_.size(); t++) {
    std::copy_n(state.begin() + ptrdiff_t(t * slots), slots, state_.begin() + ptrdiff_t(size_t(trained_[t]) * slots));
    if (!factors.empty()) factors_[size_t(trained_[t])] = factors[t];
  }
}

template <class T>
void Plan<T>::add_part(int thread) {
  for (Operation& operation : operations_)
    std::visit([&](const auto& op) {
      if constexpr (requires { op.add_part(step_, thread, threads_); })
        if (operation.trains())
          timed(thread, operation.layer, Pass::weight_gradient, [&] { op.add_part(step_, thread, threads_); });
    }, operation.op);
}

// Adds up the gradients of all groups and updates: every thread its own share of the elements.
template <class T>
void Plan<T>::finish(int thread) {
  if (by_image_) {
    for (Operation& operation : operations_)
      std::visit([&](const auto& op) {
        if constexpr (requires { op.gather_images(0, thread, threads_); })
          if (operation.trains()) timed(thread, operation.layer, Pass::weight_gradient, [&] { op.gather_images(images_.count, thread, threads_); });
      }, operation.op);
    meet_all(thread);
  }
  const bool updates = descent_ && std::isfinite(total_loss().loss), clips = updates && descent_->clip_norm > 0;
  const bool at_once = updates && !clips && !optimizer_.adapts();
  for (Operation& operation : operations_)
    std::visit([&](const auto& op) {
      if constexpr (requires { op.gather(0, step_, thread, threads_); })
        for (int p = 0; p < int(operation.trained.size()); p++) {
          if (!operation.trained[size_t(p)]) continue;
          Range made{0, 0};
          timed(thread, operation.layer, Pass::weight_gradient, [&] { made = op.gather(p, step_, thread, threads_); });
          if (at_once)
            timed(thread, operation.layer, Pass::update, [&] { update_range(operation.first_parameter + p, made.begin, made.end); });
        }
    }, operation.op);
  const Share at{&step_, nullptr, thread, 0, 0, 1, {0, 0}, {0, 0}};
  for (Operation& operation : operations_)
    std::visit([&](const auto& op) {
      if constexpr (requires { op.keep_statistics(operands(operation, at), thread, threads_); })
        if (updates) op.keep_statistics(operands(operation, at), thread, threads_);
    }, operation.op);
  if (!updates || at_once) return;
  meet_all(thread);
  const Range mine = share(int(pieces_.size()), thread, threads_);
  if (clips) clip(thread, mine);
  if (optimizer_.adapts()) measure_squares(thread, mine);
  int last = -1;
  double ratio = 1;
  each_piece(thread, mine, [&](int, const Piece& piece) {
    if (piece.parameter != last) ratio = ratio_of(piece.parameter);
    last = piece.parameter;
    update_range(piece.parameter, piece.begin, piece.end, ratio);
  });
}

// body(number, piece), timed as the update of its layer.
template <class T>
template <class Body>
void Plan<T>::each_piece(int thread, Range mine, const Body& body) {
  for (int r = mine.begin; r < mine.end; r++) timed(thread, pieces_[r].layer, Pass::update, [&] { body(r, pieces_[r]); });
}

// Norms come from sums of squares over runs of elements that are the same for any number of threads,
// each in lanes; these sums are added up in order.
template <class T>
void Plan<T>::clip(int thread, Range mine) {
  each_piece(thread, mine, [&](int r, const Piece& piece) {
    const T* g = gradients_[piece.parameter];
    Lanes<T> sum = T(0);
    ptrdiff_t i = piece.begin;
    for (; i + LANES <= piece.end; i += LANES) sum = fma(Lanes<T>::load(g + i), Lanes<T>::load(g + i), sum);
    alignas(VECTOR_BYTES) T tail[LANES] = {};
    std::copy(g + i, g + piece.end, tail);
    square_sums_[r] = sum_of_lanes(fma(Lanes<T>::load(tail), Lanes<T>::load(tail), sum));
  });
  meet_all(thread);
  double squares = 0;
  for (double sum : square_sums_) squares += sum;
  const double norm = __builtin_sqrt(squares);
  if (!(norm > descent_->clip_norm)) return;
  const T scale = T(descent_->clip_norm / norm);
  each_piece(thread, mine, [&](int, const Piece& piece) {
    for (ptrdiff_t i = piece.begin; i < piece.end; i++) gradients_[piece.parameter][i] *= scale;
  });
}

template <class T>
void Plan<T>::measure_squares(int thread, Range mine) {
  each_piece(thread, mine, [&](int r, const Piece& piece) {
    squares_[r] = measure(optimizer_, factors_[piece.parameter], step_.number, descending(piece.parameter), piece.begin, piece.end);
  });
  meet_all(thread);
}

// Of a parameter of one axis, 1: its norm says little, and begins at 0 where it is a bias's.
template <class T>
double Plan<T>::ratio_of(int parameter) const {
  if (!optimizer_.adapts() || parameter_shapes_[parameter].size() < 2) return 1;
  Squares all;
  for (size_t r = 0; r < pieces_.size(); r++)
    if (pieces_[r].parameter == parameter) all.weight += squares_[r].weight, all.change += squares_[r].change;
  return adapted(optimizer_, factors_[parameter], all);
}

template <class T>
Descending<T> Plan<T>::descending(int parameter) const {
  const int slots = optimizer_.slots();
  T* const* state = state_.data() + ptrdiff_t(parameter) * slots;
  return {parameters_[parameter], gradients_[parameter], state[0], slots > 1 ? state[1] : nullptr};
}

template <class T>
void Plan<T>::update_range(int parameter, ptrdiff_t begin, ptrdiff_t end, double ratio) {
  update(optimizer_, descent_->learning_rate, factors_[parameter], ratio, step_.number, descending(parameter), begin, end);
}

template class Plan<float>;
template class Plan<double>;

}  // namespace convprop
