// The loss layer: E of each image and delta = ∂E/∂y at the outputs y.
#pragma once

#include "machine/lane_math.h"
#include "maps/layout.h"

namespace convprop {

enum class Loss { squared_error, softmax_cross_entropy, binary_cross_entropy };

// A loss and, of the softmax cross-entropy, the part s of every target that all K classes get in
// equal shares: t' = (1 - s)·t + s/K · sum of t. Szegedy, Vanhoucke, Ioffe, Shlens and Wojna,
// "Rethinking the Inception architecture for computer vision" (2016).
struct LossSpec {
  LossSpec(Loss kind, double label_smoothing = 0) : kind(kind), label_smoothing(label_smoothing) {}

  Loss kind;
  double label_smoothing;
};

// What the outputs should have been, for rows of an array as in Batch: one class a row, or
// K values a row. A class stands for its one-hot row.
template <class T>
struct Targets {
  const int32_t* labels;
  const T* values;
  const int64_t* index;
  int first = 0;  // as in Batch

  int64_t row(int n) const { return index ? index[n - first] : n - first; }
};

template <class T>
struct LossLayer {
  using Int = typename Lanes<T>::Int;

  LossSpec spec;
  int K;

  // For the images of one block: image_loss[l] and the deltas, each times factor[l]; and, of
  // labels, whether the largest output is the right one (the first of equals counts).
  void forward(const Maps<T>& y, const Targets<T>& targets, int block, int images, const T* factor, const Maps<T>& delta,
               double* image_loss, int* correct) const {
    const int lanes = images - block * LANES < LANES ? images - block * LANES : LANES;
    int64_t row[LANES];
    alignas(VECTOR_BYTES) Int label_of[LANES];
    alignas(VECTOR_BYTES) T factor_of[LANES];
    for (int l = 0; l < LANES; l++) {
      row[l] = targets.row(block * LANES + (l < lanes ? l : 0));
      label_of[l] = targets.labels ? Int(targets.labels[row[l]]) : Int(-1);
      factor_of[l] = l < lanes ? factor[block * LANES + l] : T(0);
    }
    const Lanes<Int> label = Lanes<Int>::load(label_of);
    const Lanes<T> scale = Lanes<T>::load(factor_of), zero = T(0), one = T(1);
    const auto output = [&](int k) { return Lanes<T>::load(y.at(block, 0, 0, k)); };
    const auto target = [&](int k) {
      if (targets.labels) return select(label == Lanes<Int>(Int(k)), one, zero);
      alignas(VECTOR_BYTES) T values[LANES];
      for (int l = 0; l < LANES; l++) values[l] = targets.values[row[l] * K + k];
      return Lanes<T>::load(values);
    };

    Lanes<T> error = zero;
    if (spec.kind == Loss::squared_error) {
      // E = 1/2 sum over k of (t - y)²   (Eq. 9), ∂E/∂y = y - t
      for (int k = 0; k < K; k++) {
        const Lanes<T> difference = output(k) - target(k);
        error = fma(difference, difference, error);
        (difference * scale).store(delta.at(block, 0, 0, k));
      }
      error = error * Lanes<T>(T(0.5));
    } else if (spec.kind == Loss::softmax_cross_entropy) {
      // E = sum over k of t'·(log S - y), S = sum over k of exp(y); ∂E/∂y = exp(y)/S · sum of t - t',
      // the sums of t and t' being equal. The largest output is taken out of every exponent, which
      // changes neither.
      Lanes<T> largest = output(0), sum = zero, target_sum = zero;
      for (int k = 1; k < K; k++) largest = max(largest, output(k));
      for (int k = 0; k < K; k++) {
        const Lanes<T> e = exp(output(k) - largest);
        e.store(delta.at(block, 0, 0, k));
        sum = sum + e;
        target_sum = target_sum + target(k);
      }
      const Lanes<T> log_sum = log(sum), share = target_sum / sum;
      const Lanes<T> kept = T(1 - spec.label_smoothing), spread = target_sum * Lanes<T>(T(spec.label_smoothing / K));
      for (int k = 0; k < K; k++) {
        const Lanes<T> t = fma(target(k), kept, spread);
        error = fma(t, log_sum - (output(k) - largest), error);
        (fma(Lanes<T>::load(delta.at(block, 0, 0, k)), share, -t) * scale).store(delta.at(block, 0, 0, k));
      }
    } else {
      // E = sum over k of log(1 + exp(y)) - t·y, ∂E/∂y = sigmoid(y) - t
      for (int k = 0; k < K; k++) {
        const Lanes<T> v = output(k), t = target(k);
        error = error + (max(v, zero) - v * t + log1p(exp(-abs(v))));
        ((sigmoid(v) - t) * scale).store(delta.at(block, 0, 0, k));
      }
    }

    Lanes<T> best = output(0);
    Lanes<Int> where = Int(0);
    for (int k = 1; k < K; k++) {
      const Lanes<Int> larger = output(k) > best;
      best = select(larger, output(k), best);
      where = select(larger, Lanes<Int>(Int(k)), where);
    }
    alignas(VECTOR_BYTES) T error_of[LANES];
    alignas(VECTOR_BYTES) Int best_of[LANES];
    error.store(error_of);
    where.store(best_of);
    for (int l = 0; l < lanes; l++) {
      image_loss[block * LANES + l] = error_of[l];
      correct[block * LANES + l] = best_of[l] == label_of[l];
    }
  }
};

}  // namespace convprop
