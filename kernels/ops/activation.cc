// What has a body for each of the activations, which costs every file that compiles it seconds.
#include "ops/activation.h"

namespace convprop {

template <class T>
void ActivationLayer<T>::forward_any(const T* x, T* o, ptrdiff_t pixels) const {
  known([&](const auto& f) { forward(f, x, o, pixels); });
}

template <class T>
void ActivationLayer<T>::input_delta_any(const T* delta, const T* x, const T* o, T* delta_in, ptrdiff_t pixels, bool added) const {
  known([&](const auto& f) { input_delta(f, delta, x, o, delta_in, pixels, added); });
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
