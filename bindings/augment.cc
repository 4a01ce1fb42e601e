// Training images, changed at random.
#include "ops/augment.h"

#include "arrays.h"
#include "module.h"
#include "machine/threads.h"

namespace convprop {

namespace {

Augmentation augmentation_of(const std::map<std::string, double>& settings) {
  const auto value = [&](const char* name) {
    const auto found = settings.find(name);
    require(found != settings.end(), std::string("settings lack ") + name);
    return found->second;
  };
  Augmentation a;
  a.shift[0] = int(value("shift_rows")), a.shift[1] = int(value("shift_columns"));
  a.flip[0] = value("flip_rows"), a.flip[1] = value("flip_columns");
  a.rotation = value("rotation"), a.zoom = value("zoom"), a.crop = value("crop"), a.elastic = value("elastic");
  a.brightness = value("brightness"), a.contrast = value("contrast"), a.noise = value("noise"), a.erase = value("erase");
  return a;
}

// The rows `indices` of images, each by what the epoch and its number in `rows` say.
template <class T, class Pixel>
NewArray<T> augment(const std::map<std::string, double>& settings, Array<Pixel> images, Array<int64_t> indices, Array<int64_t> rows,
                    Array<T> mean, Array<T> deviation, uint64_t seed, uint64_t epoch) {
  require(images.ndim() == 4, "images must have four axes");
  const Shape shape{length(images, 1), length(images, 2), length(images, 3)};
  check_size("an image", {shape.C, shape.H, shape.W});
  require(mean.size() == size_t(shape.C) && deviation.size() == size_t(shape.C), "mean and deviation must have one value a channel");
  require(indices.ndim() == 1 && indices.size() == rows.size(), "there must be one row an index");
  const int count = length(indices, 0);
  for (int n = 0; n < count; n++)
    require(indices.data()[n] >= 0 && indices.data()[n] < int64_t(images.shape(0)), "indices must be rows of images");
  auto out = new_array<T>({size_t(count), size_t(shape.C), size_t(shape.H), size_t(shape.W)});
  const Augmentation how = augmentation_of(settings);
  const ptrdiff_t size = ptrdiff_t(shape.C) * shape.H * shape.W;
  const int threads = SharedPool::instance().threads();
  std::vector<Augmenter<T>> augmenters;
  for (int t = 0; t < threads; t++) augmenters.emplace_back(how, shape, mean.data(), deviation.data());
  const Unlocked unlocked;
  SharedPool::instance().run(threads, [&](int thread) {
    const Range mine = share(count, thread, threads);
    for (int n = mine.begin; n < mine.end; n++)
      augmenters[thread](images.data() + indices.data()[n] * size, {seed, epoch, uint64_t(rows.data()[n])}, out.data() + n * size);
  });
  return out;
}

template <class T, class Pixel>
void define(nb::module_& m) {
  using namespace nb::literals;
  m.def("augment", &augment<T, Pixel>, "settings"_a, nb::arg("images").noconvert(), "indices"_a, "rows"_a, nb::arg("mean").noconvert(),
        nb::arg("deviation").noconvert(), "seed"_a, "epoch"_a);
}

}  // namespace

void define_augment(nb::module_& m) {
  define<float, uint8_t>(m);
  define<float, float>(m);
  define<double, uint8_t>(m);
  define<double, double>(m);
}

}  // namespace convprop
