// Tells which of the engine modules this processor can run, and refuses interpreters that they
// cannot run in. Built for the oldest processor, so that asking is always safe; and without nanobind,
// since what a sub-interpreter has loaded of it is what crashes at its end.
//
// Supported is the main interpreter of a process, with its lock: the engine's pool, and its arrays'
// types, are the process's own and are guarded by that lock. A build of Python without the lock takes
// it again when this module is imported, and says so, unless it was told never to.
#include <Python.h>

namespace {

PyObject* supported_isas(PyObject*, PyObject*) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  // x86-64-v4 and v3 by the features that the compiler may use for them.
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                  __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (v4) return Py_BuildValue("[sss]", "x86_64_v4", "x86_64_v3", "x86_64_v2");
  if (v3) return Py_BuildValue("[ss]", "x86_64_v3", "x86_64_v2");
  return Py_BuildValue("[s]", "x86_64_v2");
#else
  return Py_BuildValue("[s]", "generic");
#endif
}

// Called in each interpreter that imports the module.
int refuse_or_accept(PyObject*) {
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError, "convprop works in a process's main interpreter alone, not in sub-interpreters: use processes");
    return -1;
  }
#if defined(Py_GIL_DISABLED)
  PyObject* const option = PySys_GetAttrString("flags");
  PyObject* const gil = option ? PyObject_GetAttrString(option, "gil") : nullptr;
  Py_XDECREF(option);
  if (!gil) return -1;
  // 0: by PYTHON_GIL=0 or -X gil=0, so that no module brings the lock back.
  const bool never = gil != Py_None && PyObject_IsTrue(gil) == 0;
  Py_DECREF(gil);
  if (never) {
    PyErr_SetString(PyExc_ImportError, "convprop needs the interpreter's lock: do not set PYTHON_GIL=0 or -X gil=0");
    return -1;
  }
#endif
  return 0;
}

PyMethodDef functions[] = {{"supported_isas", supported_isas, METH_NOARGS, nullptr}, {}};

PyModuleDef_Slot slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(&refuse_or_accept)},
// Py_mod_multiple_interpreters is left as it is, since its default lets an interpreter that shares the
// lock come as far as the message above.
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_USED},
#endif
    {}};

constexpr const char* ABOUT =
    "What this processor can run.\n\n"
    "convprop works in a process's main interpreter alone, with its lock: several threads may use it, and\n"
    "forked children; a sub-interpreter's import, and one with PYTHON_GIL=0, is an ImportError.";

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_cpu", ABOUT, 0, functions, slots, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__cpu() { return PyModuleDef_Init(&definition); }
