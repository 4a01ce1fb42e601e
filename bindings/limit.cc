// The machine's limit, which a profile is measured against.
#include "machine/limit.h"

#include "arrays.h"
#include "module.h"

namespace convprop {

void define_limit(nb::module_& m) {
  using namespace nb::literals;
  m.def(
      "multiply_add_limit",
      [](const std::string& dtype, double seconds) {
        const bool wide = one_of<bool>(dtype, "dtype", {{"float64", true}, {"float32", false}});
        require(seconds > 0, "seconds must be positive");
        const int threads = SharedPool::instance().threads();
        const Unlocked unlocked;
        return (wide ? multiply_add_limit<double>(threads, seconds) : multiply_add_limit<float>(threads, seconds)) / 1e9;
      },
      "dtype"_a, "seconds"_a);
}

}  // namespace convprop
