// The engine as a Python module, one for each instruction set it is built for.
#include "module.h"

#include <pthread.h>

#include "machine/threads.h"

namespace {

// As the package's own errors; `payload` is the module that has them.
void translate(const std::exception_ptr& thrown, void* payload) {
  const auto raise = [&](const char* name, const char* message) {
    PyErr_SetString(nanobind::object(nanobind::handle(static_cast<PyObject*>(payload)).attr(name)).ptr(), message);
  };
  try {
    std::rethrow_exception(thrown);
  } catch (const convprop::TooFewThreads& error) {
    raise("TooFewThreads", error.what());
  } catch (const std::bad_alloc&) {
    raise("OutOfMemory", "an array of this call takes more memory than there is");
  }
}

}  // namespace

NB_MODULE(CONVPROP_MODULE, m) {
  m.attr("isa") = CONVPROP_ISA;
  nanobind::register_exception_translator(translate, nanobind::module_::import_("convprop.errors").release().ptr());
  pthread_atfork(nullptr, nullptr, &convprop::Unlocked::forked);
  convprop::define_augment(m);
  convprop::define_limit(m);
  convprop::define_ops(m);
  convprop::define_plan(m);
  nanobind::module_::import_("atexit").attr("register")(nanobind::cpp_function(&convprop::Unlocked::end));
}
