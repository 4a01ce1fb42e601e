// The engine as a Python module, one for each instruction set it is built for.
#include "module.h"

NB_MODULE(CONVPROP_MODULE, m) {
  m.attr("isa") = CONVPROP_ISA;
  convprop::define_augment(m);
  convprop::define_limit(m);
  convprop::define_ops(m);
  convprop::define_plan(m);
  nanobind::module_::import_("atexit").attr("register")(nanobind::cpp_function(&convprop::Unlocked::end));
}
