// The kernels alone, without Python, over a list of cases (tests/cases.py prints it): each
// against plain loops in double precision, in buffers of the exact size, so that a build
// under the sanitizers sees every stray access. Then small networks, which must give the
// same bits for 1, 2, 3 and 7 threads. Prints a hash of each result.
//
//   selftest CASES
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>

#include "plan.h"

using namespace convprop;

namespace {

int passed = 0, failed = 0;

template <class T>
uint64_t hash(const std::vector<T>& values) {
  uint64_t h = 1469598103934665603u;
  const auto* byte = reinterpret_cast<const unsigned char*>(values.data());
  for (size_t i = 0; i < values.size() * sizeof(T); i++) h = (h ^ byte[i]) * 1099511628211u;
  return h;
}

// Reproducible values in [-1, 1).
std::vector<double> values(size_t count, uint64_t stream) {
  std::vector<uint64_t> bits(count);
  random_bits(1, stream, bits.data(), count);
  std::vector<double> v(count);
  for (size_t i = 0; i < count; i++) v[i] = double(float(double(bits[i] >> 11) * 0x1p-52 - 1));
  return v;
}

template <class T>
void report(const std::string& name, const char* what, const std::vector<T>& got, const std::vector<double>& expected) {
  double worst = 0, scale = 1;
  for (size_t i = 0; i < got.size(); i++) {
    worst = std::max(worst, std::fabs(double(got[i]) - expected[i]));
    scale = std::max(scale, std::fabs(expected[i]));
  }
  const double bound = scale * (sizeof(T) == 8 ? 1e-13 : 1e-4);
  const bool good = got.size() == expected.size() && worst <= bound;
  (good ? passed : failed)++;
  std::printf("%s %s %s %s %016" PRIx64 "\n", good ? "ok  " : "FAIL", name.c_str(), what, sizeof(T) == 8 ? "float64" : "float32", hash(got));
}

template <class T>
struct InLanes : LaneImages<T> {
  using LaneImages<T>::LaneImages, LaneImages<T>::images, LaneImages<T>::maps, LaneImages<T>::blocks;

  void fill(const std::vector<double>& array) {
    const std::vector<T> cast(array.begin(), array.end());
    for (int b = 0; b < blocks(); b++) to_lanes(Batch<T, T>{cast.data(), nullptr, images, nullptr, nullptr}, maps, b);
  }
  std::vector<T> array() const {
    std::vector<T> out(size_t(images) * maps.features());
    for (int b = 0; b < blocks(); b++) from_lanes(maps, b, images, out.data());
    return out;
  }
};

template <class T>
void test_conv(std::istringstream& line, const std::string& name) {
  int N, C, K, H, W, groups, flip, bias;
  double value;
  Window w;
  line >> N >> C >> K >> w.size[0] >> w.size[1] >> H >> W >> w.stride[0] >> w.stride[1] >> w.before[0] >> w.after[0] >> w.before[1] >>
      w.after[1] >> value >> w.dilation[0] >> w.dilation[1] >> groups >> flip >> bias;
  const ConvLayer<T> layer(C, H, W, K, w, groups, flip);
  const int Ho = layer.Ho, Wo = layer.Wo, Cg = layer.channels_each(), Kg = layer.kernels_each(), M = w.size[0], P = w.size[1];
  const auto o = values(size_t(N) * C * H * W, 1), weights = values(layer.weights(), 2), d = values(size_t(N) * K * Ho * Wo, 3);
  const auto b = values(K, 4);
  std::vector<double> x(d.size()), dw(weights.size()), din(o.size());
  for (int n = 0; n < N; n++)
    for (int k = 0; k < K; k++)
      for (int i = 0; i < Ho; i++)
        for (int j = 0; j < Wo; j++) {
          const size_t at = ((size_t(n) * K + k) * Ho + i) * Wo + j;
          x[at] = bias ? b[k] : 0;
          for (int c = 0; c < Cg; c++)
            for (int m = 0; m < M; m++)
              for (int q = 0; q < P; q++) {
                const int r = i * w.stride[0] + m * w.dilation[0] - w.before[0], s = j * w.stride[1] + q * w.dilation[1] - w.before[1];
                const bool inside = r >= 0 && r < H && s >= 0 && s < W;
                const size_t in = ((size_t(n) * C + k / Kg * Cg + c) * H + r) * W + s, wt = layer.weight_at(k, c, m, q);
                const double pixel = inside ? o[in] : double(T(value));
                x[at] += weights[wt] * pixel;
                dw[wt] += d[at] * pixel;
                if (inside) din[in] += d[at] * weights[wt];
              }
        }
  const std::vector<T> wt(weights.begin(), weights.end()), bt(b.begin(), b.end());
  InLanes<T> input(N, {C, H, W}, input_halo(w), T(value)), output(N, {K, Ho, Wo}), delta(N, {K, Ho, Wo}, delta_halo(w, W)), back(N, {C, H, W});
  input.fill(o);
  delta.fill(d);
  std::vector<T> gradient(wt.size());
  for (int block = 0; block < blocks_of(N); block++) {
    // In two parts, as two threads would share it.
    for (int part = 0; part < 2; part++) {
      layer.forward(input.maps, wt.data(), bias ? bt.data() : nullptr, output.maps, block, share(K, part, 2), {});
      layer.weight_gradient(input.maps, delta.maps, gradient.data(), block, share(K, part, 2));
      layer.input_delta(delta.maps, wt.data(), back.maps, block, share(C, part, 2));
    }
  }
  report(name, "forward", output.array(), x);
  report(name, "weight_gradient", gradient, dw);
  report(name, "input_delta", back.array(), din);
}

template <class T>
void test_pool(std::istringstream& line, const std::string& name) {
  using Int = typename Lanes<T>::Int;
  int N, C, H, W, count;
  std::string kind;
  Window w;
  line >> kind >> N >> C >> H >> W >> w.size[0] >> w.size[1] >> w.stride[0] >> w.stride[1] >> w.before[0] >> w.after[0] >> w.before[1] >>
      w.after[1] >> count;
  const PoolLayer<T> layer(kind == "max" ? Pooling::max : kind == "average" ? Pooling::average : Pooling::l2, C, H, W, w, count);
  const auto o = values(size_t(N) * C * H * W, 1), d = values(size_t(N) * C * layer.Ho * layer.Wo, 3);
  std::vector<double> x(d.size()), din(o.size());
  for (size_t map = 0; map < size_t(N) * C; map++)
    for (int i = 0; i < layer.Ho; i++)
      for (int j = 0; j < layer.Wo; j++) {
        const auto r = layer.region(i, j);
        const size_t at = (map * layer.Ho + i) * layer.Wo + j;
        const auto pixel = [&](int p, int q) { return map * H * W + size_t(p) * W + q; };
        size_t winner = pixel(r.top, r.left);
        double sum = 0, squares = 0;
        for (int p = r.top; p < r.bottom; p++)
          for (int q = r.left; q < r.right; q++) {
            if (o[pixel(p, q)] > o[winner]) winner = pixel(p, q);
            sum += o[pixel(p, q)], squares += o[pixel(p, q)] * o[pixel(p, q)];
          }
        const double share_each = 1.0 / (count ? w.size[0] * w.size[1] : r.pixels()), norm = std::sqrt(squares);
        x[at] = layer.kind == Pooling::max ? o[winner] : layer.kind == Pooling::average ? sum * share_each : norm;
        if (layer.kind == Pooling::max) din[winner] += d[at];
        else
          for (int p = r.top; p < r.bottom; p++)
            for (int q = r.left; q < r.right; q++)
              din[pixel(p, q)] += layer.kind == Pooling::average ? d[at] * share_each : norm > 0 ? d[at] * o[pixel(p, q)] / norm : 0;
      }
  InLanes<T> input(N, {C, H, W}), output(N, {C, layer.Ho, layer.Wo}), delta(N, {C, layer.Ho, layer.Wo}), back(N, {C, H, W});
  InLanes<Int> winner(N, {C, layer.Ho, layer.Wo});
  input.fill(o);
  delta.fill(d);
  for (int block = 0; block < blocks_of(N); block++) {
    layer.forward(input.maps, output.maps, winner.maps, block, {0, C});
    layer.input_delta(delta.maps, input.maps, output.maps, winner.maps, back.maps, block, {0, C});
  }
  report(name, "forward", output.array(), x);
  report(name, "input_delta", back.array(), din);
}

template <class T>
void test_dense(std::istringstream& line, const std::string& name) {
  int N, F, K;
  line >> N >> F >> K;
  const DenseLayer<T> layer{F, K};
  const auto o = values(size_t(N) * F, 1), w = values(layer.weights(), 2), d = values(size_t(N) * K, 3);
  std::vector<double> x(d.size()), dw(w.size()), din(o.size());
  for (int n = 0; n < N; n++)
    for (int k = 0; k < K; k++)
      for (int f = 0; f < F; f++) {
        x[size_t(n) * K + k] += w[size_t(k) * F + f] * o[size_t(n) * F + f];
        dw[size_t(k) * F + f] += d[size_t(n) * K + k] * o[size_t(n) * F + f];
        din[size_t(n) * F + f] += d[size_t(n) * K + k] * w[size_t(k) * F + f];
      }
  const std::vector<T> wt(w.begin(), w.end());
  InLanes<T> input(N, {F, 1, 1}), output(N, {K, 1, 1}), delta(N, {K, 1, 1}), back(N, {F, 1, 1});
  input.fill(o);
  delta.fill(d);
  const int blocks = blocks_of(N);
  Buffer<T> o_rows(size_t(blocks) * LANES * padded_to_lanes(F)), d_rows(size_t(blocks) * LANES * padded_to_lanes(K));
  const Rows<T> rows{o_rows.data(), padded_to_lanes(F)}, delta_rows{d_rows.data(), padded_to_lanes(K)};
  std::vector<T> gradient(wt.size());
  for (int part = 0; part < 2; part++) {
    layer.forward(input.maps, wt.data(), nullptr, output.maps, {0, blocks}, share(K, part, 2), {});
    layer.input_delta(delta.maps, wt.data(), back.maps, {0, blocks}, share(F, part, 2));
    for (int b = 0; b < blocks; b++) {
      layer.rows_of(input.maps, b, rows, share(F, part, 2));
      layer.rows_of(delta.maps, b, delta_rows, share(K, part, 2));
    }
  }
  for (int part = 0; part < 2; part++) layer.weight_gradient(rows, delta_rows, N, gradient.data(), share(K, part, 2));
  report(name, "forward", output.array(), x);
  report(name, "weight_gradient", gradient, dw);
  report(name, "input_delta", back.array(), din);
}

// Three training steps; the parameters must not show how many threads there were.
template <class T>
void test_network(const std::string& name, Shape input, const std::vector<LayerSpec>& layers, int batch, OptimizerKind kind) {
  std::vector<T> reference;
  for (int threads : {1, 2, 3, 7}) {
    Plan<T> plan(input, layers, Loss::softmax_cross_entropy, true, batch, Mode::train, threads);
    std::vector<std::vector<T>> parameters, state;
    for (const auto& shape : plan.parameter_shapes()) {
      size_t size = 1;
      for (ptrdiff_t s : shape) size *= s;
      const auto start = values(size, 10 + parameters.size());
      parameters.emplace_back(start.begin(), start.end());
      for (auto& p : parameters.back()) p *= T(0.25);
    }
    Optimizer optimizer;
    optimizer.kind = kind;
    optimizer.momentum = 0.9;
    for (const auto& p : parameters)
      for (int slot = 0; slot < optimizer.slots(); slot++) state.emplace_back(p.size());
    std::vector<T*> p, s;
    for (auto& v : parameters) p.push_back(v.data());
    for (auto& v : state) s.push_back(v.data());
    plan.bind(p);
    plan.bind_optimizer(optimizer, s);
    std::vector<uint8_t> pixels(size_t(batch) * input.C * input.H * input.W);
    const auto shades = values(pixels.size(), 5);
    for (size_t i = 0; i < pixels.size(); i++) pixels[i] = uint8_t(127 + 127 * shades[i]);
    std::vector<int32_t> labels(batch);
    for (int n = 0; n < batch; n++) labels[n] = n % 3;
    const std::vector<T> offset(input.C, T(127)), scale(input.C, T(1.0 / 127));
    double loss = 0;
    for (int step = 1; step <= 3; step++)
      // The last step's batch is a short one.
      loss = plan.train_step({pixels.data(), nullptr, nullptr, step < 3 ? batch : (batch + 1) / 2, offset.data(), scale.data()},
                             {labels.data(), nullptr, nullptr}, nullptr, 0.01, step, 7).loss;
    std::vector<T> all;
    for (const auto& v : parameters) all.insert(all.end(), v.begin(), v.end());
    if (reference.empty()) reference = all;
    const bool good = std::isfinite(loss) && hash(all) == hash(reference);
    (good ? passed : failed)++;
    std::printf("%s %s %d threads %016" PRIx64 "\n", good ? "ok  " : "FAIL", name.c_str(), threads, hash(all));
  }
}

LayerSpec conv(int kernels, int size, int padding) {
  LayerSpec spec;
  spec.kind = LayerKind::conv, spec.kernels = kernels;
  spec.window = {{size, size}, {1, 1}, {1, 1}, {padding, padding}, {padding, padding}};
  return spec;
}

LayerSpec other(LayerKind kind) {
  LayerSpec spec;
  spec.kind = kind;
  spec.window = {{2, 2}, {2, 2}, {1, 1}, {0, 0}, {0, 0}};
  return spec;
}

template <class T>
void test_networks() {
  LayerSpec relu = other(LayerKind::activation), tanh = relu, pool = other(LayerKind::pool), l2 = pool, drop = other(LayerKind::dropout);
  LayerSpec dense = other(LayerKind::dense), last = dense;
  relu.activation = Activation::relu, tanh.activation = Activation::scaled_tanh;
  l2.pooling = Pooling::l2, drop.rate = 0.25, dense.kernels = 21, last.kernels = 3;
  const std::vector<LayerSpec> deep{conv(5, 3, 1), relu, pool, conv(7, 3, 0), tanh, l2, drop, other(LayerKind::flatten), dense, relu, last};
  const std::vector<LayerSpec> convolutional{drop, conv(4, 3, 1), tanh, conv(3, 6, 0), relu};
  const std::string type = sizeof(T) == 8 ? "float64" : "float32";
  for (int batch : {1, 16, 33, 150}) test_network<T>("deep-" + std::to_string(batch) + " " + type, {2, 10, 10}, deep, batch, OptimizerKind::adam);
  test_network<T>("convolutional-40 " + type, {1, 6, 6}, convolutional, 40, OptimizerKind::sgd);
}

template <class T>
void test_case(const std::string& text) {
  std::istringstream line(text);
  std::string operation, name;
  line >> operation >> name;
  if (operation == "conv") test_conv<T>(line, name);
  else if (operation == "pool") test_pool<T>(line, name);
  else if (operation == "dense") test_dense<T>(line, name);
  else failed++, std::printf("FAIL unknown operation %s\n", operation.c_str());
}

}  // namespace

int main(int argc, char** argv) {
#if defined(__AVX512F__)
  if (!__builtin_cpu_supports("avx512f")) return 77;
#elif defined(__AVX2__)
  if (!__builtin_cpu_supports("avx2")) return 77;
#endif
  std::ifstream cases(argc > 1 ? argv[1] : "");
  if (!cases) return std::fprintf(stderr, "usage: selftest CASES\n"), 2;
  for (std::string text; std::getline(cases, text);) {
    test_case<float>(text);
    test_case<double>(text);
  }
  test_networks<float>();
  test_networks<double>();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed || !passed;
}
