// What operations do in one pass over memory: an activation in place with the operation before it,
// and its f' in the delta that the operation behind it writes. Both depend on who else reads a value.
#include "plan/plan.h"

namespace convprop {

// Whether the operation of the layer that an activation reads computes it in place: where nobody else
// reads that layer, and not where every layer's own output is wanted.
template <class T>
bool Plan<T>::fuse(const ActivationOp<T>& activation, int layer, int readers) {
  if (mode_ == Mode::inspect || readers != 1) return false;
  for (Operation& operation : operations_)
    if (operation.layer == layer - 1)
      return std::visit([&](auto& op) {
        if constexpr (requires { op.activation; }) op.activation = activation.layer;
        return requires { op.activation; };
      }, operation.op);
  return false;
}

// Lets the operation that reads a value write its delta behind the value's activation at once, into
// maps with the halo that the operation which gives it wants.
template <class T>
void Plan<T>::write_through() {
  if (mode_ != Mode::train || by_image_) return;
  std::vector<int> readers(values_.size());
  for (const Operation& operation : operations_)
    for (int value : operation.reads) readers[value]++;
  for (int i = 0; i < head_; i++)
    for (Operation& before : operations_) {
      if (before.gives != operations_[i].reads[0] || readers[before.gives] != 1) continue;
      std::visit([&](const auto& first, const auto& second) {
        if constexpr (requires { first.own_delta_halo(); } && requires { second.writes_through(); })
          if (second.writes_through()) {
            values_[before.gives].through = &first.activation;
            values_[before.gives].delta_halo = first.own_delta_halo();
          }
      }, before.op, operations_[i].op);
    }
}

template class Plan<float>;
template class Plan<double>;

}  // namespace convprop
