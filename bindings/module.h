#pragma once

#include <nanobind/nanobind.h>

namespace convprop {

void define_augment(nanobind::module_& m);
void define_limit(nanobind::module_& m);
void define_ops(nanobind::module_& m);
void define_plan(nanobind::module_& m);

}  // namespace convprop
