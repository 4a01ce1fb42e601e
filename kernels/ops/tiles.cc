// The register tiles: many small functions that take long to compile, in one place.
#include "ops/conv.h"

namespace convprop {

template void products<float>(const Products<float>&, int, int);
template void products<double>(const Products<double>&, int, int);
template void ConvLayer<float>::weight_gradient(const Maps<float>&, const Maps<float>&, float*, int, Range) const;
template void ConvLayer<double>::weight_gradient(const Maps<double>&, const Maps<double>&, double*, int, Range) const;

}  // namespace convprop
