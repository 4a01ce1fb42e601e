// Counts what training steps and predictions ask of the system's memory after their first
// run: nothing. Stands in for the C library's allocating functions, which glibc allows, so no
// sanitizer may do the same.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "plan/plan.h"

namespace {

std::atomic<long> asked{0};

}  // namespace

// operator new of libstdc++ and of libc++ calls malloc or aligned_alloc, these ones if it sees them.
#pragma GCC visibility push(default)
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t size) noexcept { return asked++, __libc_malloc(size); }
void* calloc(size_t count, size_t size) noexcept { return asked++, __libc_calloc(count, size); }
void* realloc(void* old, size_t size) noexcept { return asked++, __libc_realloc(old, size); }
void* aligned_alloc(size_t alignment, size_t size) noexcept { return asked++, __libc_memalign(alignment, size); }
int posix_memalign(void** memory, size_t alignment, size_t size) noexcept {
  *memory = aligned_alloc(alignment, size);
  return *memory ? 0 : ENOMEM;
}
void* mmap(void* place, size_t size, int protection, int flags, int file, off_t offset) noexcept {
  asked++;
  return reinterpret_cast<void*>(syscall(SYS_mmap, place, size, protection, flags, file, offset));
}
}
#pragma GCC visibility pop

namespace {

using namespace convprop;

int failed = 0;

// What run(1) ... run(50) ask for, run(0) having been the first.
template <class Run>
void count(const char* what, const char* type, int batch, int threads, const Run& run) {
  const long before = asked;
  run(0);
  const long first = asked - before;
  for (int i = 1; i <= 50; i++) run(i);
  const long later = asked - before - first;
  failed += later != 0;
  std::printf("%s %s %s, batch %d, %d threads: %ld allocations in the first, %ld in 50 more\n", later ? "FAIL" : "ok  ", type, what, batch,
              threads, first, later);
}

constexpr const char* CONV = "conv kernel_size=3,3 stride=1,1 padding=1,1,1,1 dilation=1,1 padding_value=0 groups=1 bias=1 flip_kernel=0 ";

template <class T>
void test(const char* type, int batch, int threads) {
  std::vector<std::string> layers{std::string(CONV) + "kernels=5 algorithm=direct",
                                  "activation activation=relu",
                                  "pool pool=max size=2,2 stride=2,2 padding=0,0,0,0 count_padding=1",
                                  std::string(CONV) + "kernels=7 algorithm=winograd",
                                  "activation activation=relu",
                                  "pool pool=max size=2,2 stride=2,2 padding=0,0,0,0 count_padding=1",
                                  "activation activation=silu",
                                  "prelu by_channel=1",
                                  "softmax",
                                  "channel_shuffle groups=7",
                                  "pool pool=average size=2,2 stride=2,2 padding=1,0,0,0 count_padding=1 dilation=2,1 overhang=0,1",
                                  "stochastic_depth rate=0.25",
                                  "dropout rate=0.25",
                                  "flatten",
                                  "dense units=9 bias=1",
                                  "activation activation=relu",
                                  "dense units=3 bias=1"};
  for (size_t l = 0; l < layers.size(); l++) layers[l] += " reads=" + std::to_string(l);
  const Shape input{2, 12, 12};
  Plan<T> training(input, layers, Loss::softmax_cross_entropy, true, batch, Mode::train, threads);
  Plan<T> predicting(input, layers, Loss::softmax_cross_entropy, true, batch, Mode::predict, threads);
  std::vector<std::vector<T>> parameters, state;
  for (const auto& shape : training.parameter_shapes()) {
    size_t size = 1;
    for (ptrdiff_t s : shape) size *= s;
    parameters.emplace_back(size, T(0.01));
    for (int slot = 0; slot < 2; slot++) state.emplace_back(size);
  }
  std::vector<T*> p, s;
  for (auto& v : parameters) p.push_back(v.data());
  for (auto& v : state) s.push_back(v.data());
  Optimizer optimizer;
  optimizer.kind = OptimizerKind::adam;
  training.bind(p), predicting.bind(p);
  training.bind_optimizer(optimizer, s);
  const std::vector<uint8_t> pixels(size_t(batch) * input.C * input.H * input.W, 100);
  const std::vector<int32_t> labels(batch, 1);
  const std::vector<T> offset(input.C, T(127)), scale(input.C, T(1.0 / 127));
  std::vector<T> out(size_t(batch) * 3);
  const auto images = [&](int i) {  // every other batch is a short one
    return Images<T>{pixels.data(), nullptr, nullptr, i % 2 ? (batch + 1) / 2 : batch, offset.data(), scale.data()};
  };
  count("steps", type, batch, threads,
        [&](int i) { training.train_step(images(i), {labels.data(), nullptr, nullptr}, nullptr, 0.01, i + 1, 7); });
  count("predictions", type, batch, threads, [&](int i) { predicting.predict(images(i), out.data()); });
}

}  // namespace

int main() {
  const long before = asked;
  void* volatile piece = std::malloc(1);
  std::free(piece);
  piece = ::operator new(1);
  ::operator delete(piece);
  piece = mmap(nullptr, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(piece, 1);
  if (asked - before < 3) return std::printf("FAIL allocations are not counted\n"), 1;
  for (int batch : {1, 20, 150})
    for (int threads : {1, 2, 3, 7}) {
      test<float>("float32", batch, threads);
      test<double>("float64", batch, threads);
    }
  return failed != 0;
}
