// The words by which Python names the engine's choices.
#pragma once

#include "arrays.h"
#include "ops/loss.h"
#include "plan/optimizer.h"

namespace convprop {

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
                                {"adadelta", OptimizerKind::adadelta},
                                {"lars", OptimizerKind::lars},
                                {"lamb", OptimizerKind::lamb}});
}

}  // namespace convprop
