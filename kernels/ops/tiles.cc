// The register tiles: many small functions that take long to compile, in one place.
#include "ops/conv.h"

namespace convprop {

template void products<float>(const Products<float>&, int, int);
template void products<double>(const Products<double>&, int, int);
template WindowRows<float> window_rows<float>(int, int, int);
template WindowRows<double> window_rows<double>(int, int, int);
template WindowRows<float> window_rows_back<float>(ptrdiff_t, ptrdiff_t);
template WindowRows<double> window_rows_back<double>(ptrdiff_t, ptrdiff_t);
template void (*window_gradient<float>(int, int, int))(const WindowGradient<float>&);
template void (*window_gradient<double>(int, int, int))(const WindowGradient<double>&);
template void ConvLayer<float>::weight_gradient(const Maps<float>&, const Maps<float>&, float*, int, Range) const;
template void ConvLayer<double>::weight_gradient(const Maps<double>&, const Maps<double>&, double*, int, Range) const;

}  // namespace convprop
