#include "ops/activation.h"

namespace convprop {

template <class T>
void ActivationLayer<T>::forward(const T* x, T* o, ptrdiff_t pixels) const {
  known([&](const auto& f) {
    for (ptrdiff_t p = 0; p < pixels; p++) f.forward(Lanes<T>::load(x + p * LANES)).store(o + p * LANES);
  });
}

template <class T>
void ActivationLayer<T>::input_delta(const T* delta, const T* x, const T* o, T* delta_in, ptrdiff_t pixels, bool added) const {
  known([&](const auto& f) {
    for (ptrdiff_t p = 0; p < pixels; p++) {
      const Lanes<T> back = Lanes<T>::load(delta + p * LANES) * f.derivative(Lanes<T>::load(x + p * LANES), Lanes<T>::load(o + p * LANES));
      (added ? Lanes<T>::load(delta_in + p * LANES) + back : back).store(delta_in + p * LANES);
    }
  });
}

template <class T>
Lanes<T> ActivationLayer<T>::Called::forward(const Lanes<T>& x) const {
  return layer.known([&](const auto& f) { return f.forward(x); });
}

template <class T>
Lanes<T> ActivationLayer<T>::Called::derivative(const Lanes<T>& x, const Lanes<T>& o) const {
  return layer.known([&](const auto& f) { return f.derivative(x, o); });
}

template class ActivationLayer<float>;
template class ActivationLayer<double>;

}  // namespace convprop
