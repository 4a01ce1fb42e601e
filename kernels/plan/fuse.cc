// What operations do in one pass over memory: an activation in place with the operation before it,
// and its f' in the delta that the operation behind it writes. Both depend on who else reads a value.
#include "plan/plan.h"

namespace convprop {

// Whether the operation of the layer that an activation reads alone computes it in place: not where
// every layer's own output is wanted, or x for f'(x).
template <class T>
bool Plan<T>::fuse(const ActivationOp<T>& activation, int layer) {
  if (mode_ == Mode::inspect || (mode_ == Mode::train && !activation.layer.from_output())) return false;
  for (Operation& operation : operations_)
    if (operation.layer == layer - 1 && operation.gives == layers_[layer].value)
      return std::visit([&](auto& op) {
        if constexpr (requires { op.activation; }) op.activation = activation.layer;
        return requires { op.activation; };
      }, operation.op);
  return false;
}

// Lets the last operation that writes a value's delta take it through the value's activation at once,
// and all write it into maps with the halo that the operation which gives the value wants.
template <class T>
void Plan<T>::write_through() {
  if (mode_ != Mode::train || by_image_) return;
  for (Operation& before : operations_) {
    Value<T>& value = values_[before.gives];
    if (value.whole_delta) continue;
    const auto reads_it = [&](const Operation& operation) {
      return std::find(operation.reads.begin(), operation.reads.end(), before.gives) != operation.reads.end();
    };
    const auto last = std::find_if(operations_.begin(), operations_.begin() + head_, reads_it);
    if (last == operations_.begin() + head_) continue;
    std::visit([&](const auto& first, const auto& second) {
      if constexpr (requires { first.own_delta_halo(); } && requires { second.writes_through(true); })
        if (second.writes_through(last->readings[0].added)) {
          value.through = &first.activation;
          value.delta_halo = first.own_delta_halo();
        }
    }, before.op, last->op);
  }
}

template class Plan<float>;
template class Plan<double>;

}  // namespace convprop
