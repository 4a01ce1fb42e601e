// The words by which Python names the engine's choices.
#pragma once

#include "arrays.h"
#include "plan.h"

namespace convprop {

inline Activation activation_named(const std::string& name) {
  return one_of<Activation>(name, "activation",
                            {{"identity", Activation::identity},
                             {"relu", Activation::relu},
                             {"leaky_relu", Activation::leaky_relu},
                             {"sigmoid", Activation::sigmoid},
                             {"tanh", Activation::tanh},
                             {"scaled_tanh", Activation::scaled_tanh},
                             {"softplus", Activation::softplus}});
}

inline Pooling pooling_named(const std::string& name) {
  return one_of<Pooling>(name, "pooling", {{"max", Pooling::max}, {"average", Pooling::average}, {"l2", Pooling::l2}});
}

inline Loss loss_named(const std::string& name) {
  return one_of<Loss>(name, "loss",
                      {{"squared_error", Loss::squared_error},
                       {"softmax_cross_entropy", Loss::softmax_cross_entropy},
                       {"binary_cross_entropy", Loss::binary_cross_entropy}});
}

inline OptimizerKind optimizer_named(const std::string& name) {
  return one_of<OptimizerKind>(name, "optimizer",
                               {{"sgd", OptimizerKind::sgd},
                                {"adam", OptimizerKind::adam},
                                {"adamw", OptimizerKind::adamw},
                                {"rmsprop", OptimizerKind::rmsprop},
                                {"adadelta", OptimizerKind::adadelta}});
}

// Padding is written (top, bottom, left, right).
inline Window window_of(std::array<int, 2> size, std::array<int, 2> stride, std::array<int, 4> padding, std::array<int, 2> dilation) {
  return {{size[0], size[1]}, {stride[0], stride[1]}, {dilation[0], dilation[1]}, {padding[0], padding[2]}, {padding[1], padding[3]}};
}

}  // namespace convprop
