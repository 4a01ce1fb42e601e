// Tells which of the engine modules this processor can run. Built for the oldest
// processor, so that asking is always safe.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace {

std::vector<std::string> supported_isas() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  std::vector<std::string> isas;
  // x86-64-v4 and v3 by the features that the compiler may use for them.
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                  __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (v4) isas.push_back("x86_64_v4");
  if (v3) isas.push_back("x86_64_v3");
  isas.push_back("x86_64_v2");
  return isas;
#else
  return {"generic"};
#endif
}

}  // namespace

NB_MODULE(_cpu, m) { m.def("supported_isas", &supported_isas); }
