// The kernels alone, without Python, over the cases of a file of recorded bits
// (src/convprop/check/bits.txt): each against plain loops in double precision, in buffers of
// the exact size, so that a build under the sanitizers sees every stray access; and each
// result's SHA-256 against the recorded one. Networks are trained with every number of threads.
//
//   selftest FILE [STEPS [THREADS...]]        by default 2 steps, with 1, 2, 3 and 7 threads
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <numeric>
#include <sstream>

#include "ops/alone.h"
#include "ops/augment.h"
#include "plan/plan.h"

using namespace convprop;

namespace {

int passed = 0, failed = 0;
std::map<std::string, std::string> recorded;  // of the case under way, by the words before the hash

// FIPS 180-4. Its constants are the first 32 bits behind the point of the roots of the first primes.
std::string sha256(const void* data, size_t size) {
  static const auto constants = [] {
    std::array<uint32_t, 72> bits;
    const auto fraction = [](double root) { return uint32_t((root - std::floor(root)) * 0x1p32); };
    for (int n = 0, prime = 2; n < 64; prime++) {
      bool divisible = false;
      for (int d = 2; d * d <= prime; d++) divisible |= prime % d == 0;
      if (divisible) continue;
      if (n < 8) bits[64 + n] = fraction(std::sqrt(double(prime)));
      bits[n++] = fraction(std::cbrt(double(prime)));
    }
    return bits;
  }();
  const auto* byte = static_cast<const uint8_t*>(data);
  std::vector<uint8_t> message(byte, byte + size);
  message.push_back(0x80);
  message.resize((message.size() + 8 + 63) / 64 * 64);
  for (int i = 0; i < 8; i++) message[message.size() - 1 - i] = uint8_t(uint64_t(size) * 8 >> 8 * i);
  const auto turn = [](uint32_t x, int n) { return x >> n | x << (32 - n); };
  uint32_t hash[8];
  std::copy_n(&constants[64], 8, hash);
  for (size_t chunk = 0; chunk < message.size(); chunk += 64) {
    uint32_t w[64], v[8];
    for (int t = 0; t < 64; t++) {
      if (t < 16) {
        const uint8_t* at = &message[chunk + 4 * t];
        w[t] = uint32_t(at[0]) << 24 | uint32_t(at[1]) << 16 | uint32_t(at[2]) << 8 | at[3];
        continue;
      }
      const uint32_t a = w[t - 15], b = w[t - 2];
      w[t] = w[t - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[t - 7] + (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
    std::copy_n(hash, 8, v);
    for (int t = 0; t < 64; t++) {
      const uint32_t a = v[0], e = v[4];
      const uint32_t one = v[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + constants[t] + w[t];
      const uint32_t two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
      std::copy_backward(v, v + 7, v + 8);
      v[4] += one;
      v[0] = one + two;
    }
    for (int i = 0; i < 8; i++) hash[i] += v[i];
  }
  char text[65];
  for (int i = 0; i < 8; i++) std::snprintf(text + 8 * i, 9, "%08x", unsigned(hash[i]));
  return text;
}

template <class T>
const char* type_name() {
  return sizeof(T) == 8 ? "float64" : "float32";
}

// `right`: whether the values are right; the bits must be the recorded ones besides.
template <class T>
void report(const std::string& name, const std::string& what, const std::string& key, const std::vector<T>& got, bool right) {
  const std::string hash = sha256(got.data(), got.size() * sizeof(T));
  const bool same = recorded[key] == hash;
  (right && same ? passed : failed)++;
  const char* verdict = !right ? "WRONG  " : same ? "ok     " : "DIFFERS";
  std::printf("%s %s %s %s %s\n", verdict, name.c_str(), what.c_str(), type_name<T>(), hash.c_str());
}

template <class T>
bool close(const std::vector<T>& got, const std::vector<double>& expected) {
  double worst = 0, scale = 1;
  for (size_t i = 0; i < got.size(); i++) {
    worst = std::max(worst, std::fabs(double(got[i]) - expected[i]));
    scale = std::max(scale, std::fabs(expected[i]));
  }
  return got.size() == expected.size() && worst <= scale * (sizeof(T) == 8 ? 1e-13 : 1e-4);
}

template <class T>
void report(const std::string& name, const std::string& what, const std::vector<T>& got, const std::vector<double>& expected) {
  report(name, what, what + " " + type_name<T>(), got, close(got, expected));
}

// Expected: nothing where the bits alone tell.
template <class T>
void report(const std::string& name, const std::string& what, const std::vector<T>& got, const std::vector<double>* expected) {
  report(name, what, what + " " + type_name<T>(), got, !expected || close(got, *expected));
}

// What has no recorded bits.
template <class T>
void check(const std::string& name, const std::string& what, const std::vector<T>& got, const std::vector<double>& expected) {
  const bool right = close(got, expected);
  (right ? passed : failed)++;
  std::printf("%s %s %s %s\n", right ? "ok     " : "WRONG  ", name.c_str(), what.c_str(), type_name<T>());
}

std::vector<uint64_t> random_words(size_t count, uint64_t stream) {
  std::vector<uint64_t> bits(count);
  random_bits(0, stream, bits.data(), count);
  return bits;
}

// Reproducible float32 values in [-1, 1).
std::vector<double> values(size_t count, uint64_t stream) {
  std::vector<double> v;
  for (uint64_t bits : random_words(count, stream)) v.push_back(double(float(double(bits >> 11) * 0x1p-52 - 1)));
  return v;
}

Shape shape_of(const Description& of, const char* property = "input") {
  const auto sizes = of.integers<3>(property);
  return {sizes[0], sizes[1], sizes[2]};
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

// Winograd's algorithm against the same loops; its bits are those of the networks that use it.
template <class T>
void test_winograd(const ConvLayer<T>& layer, const std::string& name, const InLanes<T>& input, const std::vector<T>& w, const T* b,
                   const InLanes<T>& delta, const std::vector<double>& x, const std::vector<double>& dw, const std::vector<double>& din) {
  const Winograd<T> winograd{layer};
  const InLanes<T> output(input.images, {layer.K, layer.Ho, layer.Wo}), back(input.images, {layer.C, layer.H, layer.W});
  const Buffer<T> u(winograd.transformed_size()), du(winograd.gradient_size()), room(winograd.room());
  const int vectors = int(winograd.kernel_lanes() / LANES);
  std::vector<T> gradient(w.size());
  for (int part = 0; part < 2; part++) winograd.transform_weights(w.data(), u.data(), share(layer.K, part, 2));
  for (int block = 0; block < input.blocks(); block++)
    for (int part = 0; part < 2; part++) {
      winograd.forward(input.maps, u.data(), b, output.maps, block, share(layer.K, part, 2), {}, room.data());
      winograd.input_delta(delta.maps, u.data(), back.maps, block, share(layer.C, part, 2), {}, {}, room.data());
      winograd.weight_gradient(input.maps, delta.maps, du.data(), block == 0, block, share(vectors, part, 2), room.data());
    }
  winograd.gradient(du.data(), gradient.data(), {0, layer.K});
  check(name, "winograd forward", output.array(), x);
  check(name, "winograd weight_gradient", gradient, dw);
  check(name, "winograd input_delta", back.array(), din);
}

template <class T>
void test_conv(const Description& of, const std::string& name) {
  const int N = of.integer("images"), bias = of.integer("bias");
  const auto [C, H, W] = shape_of(of);
  const double value = of.number("padding_value");
  const ConvLayer<T> layer(of, {C, H, W});
  const int K = layer.K;
  const Window& w = layer.window;
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
  if (Winograd<T>::supports(layer)) test_winograd(layer, name, input, wt, bias ? bt.data() : nullptr, delta, x, dw, din);
}

// Of a window's pixels, the value and each one's share of the delta; `count` is what a mean divides by.
// A pooling that is not here is held by its bits alone, those of values that the Python tests compare.
using PlainPooling = std::pair<double, std::vector<double>> (*)(const std::vector<double>& o, int count);
const std::map<std::string, PlainPooling> pooled{
    {"max",
     [](const std::vector<double>& o, int) {
       const auto winner = std::max_element(o.begin(), o.end());
       std::vector<double> shares(o.size());
       shares[winner - o.begin()] = 1;
       return std::pair{*winner, shares};
     }},
    {"average",
     [](const std::vector<double>& o, int count) {
       return std::pair{std::accumulate(o.begin(), o.end(), 0.0) / count, std::vector<double>(o.size(), 1.0 / count)};
     }},
    {"l2",
     [](const std::vector<double>& o, int) {
       const double norm = std::sqrt(std::inner_product(o.begin(), o.end(), o.begin(), 0.0));
       std::vector<double> shares;
       for (double pixel : o) shares.push_back(norm > 0 ? pixel / norm : 0);
       return std::pair{norm, shares};
     }},
};

template <class T>
void test_pool(const Description& of, const std::string& name) {
  using Int = typename Lanes<T>::Int;
  const int N = of.integer("images"), count = of.integer("count_padding");
  const auto [C, H, W] = shape_of(of);
  const auto known = pooled.find(of.word("pool"));
  const auto plain = known == pooled.end() ? nullptr : known->second;
  const PoolLayer<T> layer(of, {C, H, W});
  const Window& w = layer.window;
  const auto o = values(size_t(N) * C * H * W, 1), d = values(size_t(N) * C * layer.Ho * layer.Wo, 3);
  std::vector<double> x(d.size()), din(o.size());
  for (size_t map = 0; map < size_t(N) * C; map++)
    for (int i = 0; i < layer.Ho; i++)
      for (int j = 0; j < layer.Wo; j++) {
        const size_t at = (map * layer.Ho + i) * layer.Wo + j;
        std::vector<size_t> pixels;  // of the window, as far as they lie in the map
        int padded = 0;              // as far as they lie in the map with its padding
        for (int m = 0; m < w.size[0]; m++)
          for (int n = 0; n < w.size[1]; n++) {
            const int p = i * w.stride[0] - w.before[0] + m * w.dilation[0], q = j * w.stride[1] - w.before[1] + n * w.dilation[1];
            if (p >= 0 && p < H && q >= 0 && q < W) pixels.push_back(map * H * W + size_t(p) * W + q);
            padded += p < H + w.after[0] - layer.overhang[0] && q < W + w.after[1] - layer.overhang[1];
          }
        if (!plain) continue;
        std::vector<double> window;
        for (size_t pixel : pixels) window.push_back(o[pixel]);
        const auto [value, shares] = plain(window, count ? padded : int(pixels.size()));
        x[at] = value;
        for (size_t p = 0; p < pixels.size(); p++) din[pixels[p]] += d[at] * shares[p];
      }
  InLanes<T> input(N, {C, H, W}), output(N, {C, layer.Ho, layer.Wo}), delta(N, {C, layer.Ho, layer.Wo}), back(N, {C, H, W});
  InLanes<Int> winner(N, {C, layer.Ho, layer.Wo});
  input.fill(o);
  delta.fill(d);
  for (int block = 0; block < blocks_of(N); block++) {
    layer.forward(input.maps, output.maps, winner.maps, block, {0, C});
    layer.input_delta(delta.maps, input.maps, output.maps, winner.maps, back.maps, block, {0, C});
  }
  report(name, "forward", output.array(), plain ? &x : nullptr);
  report(name, "input_delta", back.array(), plain ? &din : nullptr);
}

template <class T>
void test_channel_shuffle(const Description& of, const std::string& name) {
  const int N = of.integer("images"), groups = of.integer("groups");
  const Shape shape = shape_of(of);
  const size_t pixels = size_t(shape.H) * shape.W;
  const auto o = values(size_t(N) * shape.C * pixels, 1), d = values(o.size(), 3);
  std::vector<double> x(o.size()), din(o.size());
  for (int n = 0; n < N; n++)
    for (int row = 0, k = 0; row < shape.C / groups; row++)
      for (int group = 0; group < groups; group++, k++)
        for (size_t p = 0; p < pixels; p++) {
          const size_t from = (size_t(n) * shape.C + group * (shape.C / groups) + row) * pixels + p, to = (size_t(n) * shape.C + k) * pixels + p;
          x[to] = o[from], din[from] = d[to];
        }
  const ChannelShuffleOp<T> op(of, shape, {Mode::inspect, false});
  InLanes<T> input(N, shape), output(N, shape), delta(N, shape), back(N, shape);
  input.fill(o);
  delta.fill(d);
  op.shuffle(input.maps, output.maps, {0, blocks_of(N)}, {0, shape.C});
  op.unshuffle(delta.maps, back.maps, {0, blocks_of(N)}, {0, shape.C}, false);
  report(name, "forward", output.array(), x);
  report(name, "input_delta", back.array(), din);
}

template <class T>
void test_dense(const Description& of, const std::string& name) {
  const int N = of.integer("images"), F = shape_of(of).C, K = of.integer("units");
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
  Buffer<T> o_rows(size_t(blocks) * LANES * row_of(F)), d_rows(size_t(blocks) * LANES * row_of(K));
  const Rows<T> rows{o_rows.data(), row_of(F)}, delta_rows{d_rows.data(), row_of(K)};
  std::vector<T> gradient(wt.size());
  for (int part = 0; part < 2; part++) {
    layer.forward(input.maps, wt.data(), nullptr, output.maps, {0, blocks}, share(K, part, 2), {});
    layer.input_delta(delta.maps, wt.data(), back.maps, {0, blocks}, share(F, part, 2));
    for (int b = 0; b < blocks; b++) {
      layer.rows_of(input.maps, b, rows, share(F, part, 2));
      layer.rows_of(delta.maps, b, delta_rows, share(K, part, 2));
    }
  }
  for (int part = 0; part < 2; part++) layer.weight_gradient(rows, delta_rows, {N}, gradient.data(), share(K, part, 2));
  report(name, "forward", output.array(), x);
  report(name, "weight_gradient", gradient, dw);
  report(name, "input_delta", back.array(), din);
}

template <class T>
void test_join(const Description& of, const std::string& name) {
  const int N = of.integer("images"), by_channel = of.integer("by_channel");
  const auto [H, W] = of.integers<2>("size");
  const std::string kind = of.word("join");
  const bool multiplies = kind == "multiply", concatenates = kind == "concat";
  std::vector<Shape> shapes;
  for (int C : of.integers("channels")) shapes.push_back(by_channel && !shapes.empty() ? Shape{C, 1, 1} : Shape{C, H, W});
  const Join<T> join(Description(kind), shapes);
  const Shape shape = join.shape();
  const size_t pixels = size_t(H) * W, features = shape.C * pixels;
  const auto d = values(N * features, 3);
  std::vector<std::vector<double>> o, din;
  std::vector<InLanes<T>> inputs, back;
  for (size_t r = 0; r < shapes.size(); r++) {
    const auto [C, rows, columns] = shapes[r];
    o.push_back(values(size_t(N) * C * rows * columns, 60 + r));
    din.emplace_back(o[r].size());
    inputs.emplace_back(N, shapes[r]).fill(o[r]);
    back.emplace_back(N, shapes[r]);
  }
  std::vector<double> x(d.size(), multiplies ? 1 : 0);
  for (int n = 0; n < N; n++) {
    size_t first = 0;  // of a concatenation's numbers
    for (size_t r = 0; r < shapes.size(); r++) {
      const size_t own = o[r].size() / N, part = concatenates ? own : features;
      for (size_t e = 0; e < part; e++) {
        const size_t to = n * features + e + (concatenates ? first : 0), in = n * own + (own == part ? e : e / pixels);
        if (multiplies) {
          x[to] *= o[r][in];
          const size_t other = o[1 - r].size() / N;
          din[r][in] += d[to] * o[1 - r][n * other + (other == features ? e : e / pixels)];
        } else {
          x[to] += o[r][in];
          din[r][in] += d[to];
        }
      }
      first += own;
    }
  }
  InLanes<T> output(N, shape), delta(N, shape);
  delta.fill(d);
  std::vector<Maps<T>> in, to;
  for (size_t r = 0; r < shapes.size(); r++) in.push_back(inputs[r].maps), to.push_back(back[r].maps);
  join.forward(in, output.maps, {0, blocks_of(N)});
  join.input_delta(in, delta.maps, to, {0, blocks_of(N)});
  std::vector<T> got;
  std::vector<double> expected;
  for (size_t r = 0; r < shapes.size(); r++) {
    const auto of_one = back[r].array();
    got.insert(got.end(), of_one.begin(), of_one.end());
    expected.insert(expected.end(), din[r].begin(), din[r].end());
  }
  report(name, "forward", output.array(), x);
  report(name, "input_delta", got, expected);
}

// Normalisations by the two passes over what is normalised together that their definition is.
template <class T, class One>
void test_image_norm(const Description& of, const std::string& name) {
  const int N = of.integer("images"), affine = of.integer("affine"), by_group = of.has("groups");
  const auto [C, H, W] = shape_of(of);
  const size_t pixels = size_t(H) * W, features = C * pixels;
  const int groups = by_group ? of.integer("groups") : 0;
  const auto o = values(N * features, 1), w = values(C, 2), b = values(C, 4), d = values(N * features, 3);
  std::vector<double> x(o.size()), din(o.size()), dw(C), db(C);
  for (int n = 0; n < N; n++)
    for (int set = 0; set < (by_group ? groups : int(pixels)); set++) {
      std::vector<size_t> together;  // places in an image
      for (size_t e = 0; e < features; e++)
        if (by_group ? int(e / pixels) / (C / groups) == set : int(e % pixels) == set) together.push_back(e);
      const auto mean_of = [&](const auto& value) {
        double sum = 0;
        for (size_t e : together) sum += value(e);
        return sum / together.size();
      };
      const double mean = mean_of([&](size_t e) { return o[n * features + e]; });
      const double variance = mean_of([&](size_t e) { return (o[n * features + e] - mean) * (o[n * features + e] - mean); });
      const double scale = 1 / std::sqrt(variance + of.number("epsilon"));
      const auto standard = [&](size_t e) { return (o[n * features + e] - mean) * scale; };
      const auto g = [&](size_t e) { return (affine ? w[e / pixels] : 1) * d[n * features + e]; };
      const double mean_g = mean_of(g), mean_product = mean_of([&](size_t e) { return g(e) * standard(e); });
      for (size_t e : together) {
        x[n * features + e] = affine ? w[e / pixels] * standard(e) + b[e / pixels] : standard(e);
        din[n * features + e] = scale * (g(e) - mean_g - standard(e) * mean_product);
        dw[e / pixels] += d[n * features + e] * standard(e);
        db[e / pixels] += d[n * features + e];
      }
    }
  std::vector<T> wt(w.begin(), w.end()), bt(b.begin(), b.end());
  T* const parameters[] = {wt.data(), bt.data()};
  InLanes<T> input(N, {C, H, W}), output(N, {C, H, W}), delta(N, {C, H, W}), back(N, {C, H, W});
  input.fill(o);
  delta.fill(d);
  const auto backwards = [&](const Alone<T, One>& alone) {
    alone.forward(input.maps, parameters, output.maps, {0, blocks_of(N)}, 0);
    alone.input_delta(input.maps, parameters, output.maps, delta.maps, back.maps, {0, blocks_of(N)}, 0);
  };
  const Alone<T, One> alone(of, {C, H, W}, N, 1);
  backwards(alone);
  report(name, "forward", output.array(), x);
  report(name, "input_delta", back.array(), din);
  if (!affine) return;
  for (int p = 0; p < 2; p++) {
    alone.op().gather(p, alone.step(), 0, 1);
    const T* gradient = alone.op().gradient(p);
    report(name, p ? "bias_gradient" : "weight_gradient", std::vector<T>(gradient, gradient + C), p ? db : dw);
  }
}

template <class T>
void test_local_response_norm(const Description& of, const std::string& name) {
  const int N = of.integer("images"), size = of.integer("size");
  const Shape shape = shape_of(of);
  const int C = shape.C, H = shape.H, W = shape.W;
  const double alpha = of.number("alpha"), beta = of.number("beta"), k = of.number("k");
  const size_t pixels = size_t(H) * W, features = C * pixels;
  const auto o = values(N * features, 1), d = values(N * features, 3);
  std::vector<double> x(o.size()), din(o.size()), divisor(o.size(), k);
  const auto near = [&](const auto& body) {
    for (size_t e = 0; e < o.size(); e++)
      for (int c = 0; c < C; c++)
        if (std::abs(c - int(e % features / pixels)) <= size / 2) body(e, e / features * features + c * pixels + e % pixels);
  };
  near([&](size_t e, size_t other) { divisor[e] += alpha / size * o[other] * o[other]; });
  for (size_t e = 0; e < o.size(); e++) x[e] = o[e] * std::pow(divisor[e], -beta), din[e] = d[e] * std::pow(divisor[e], -beta);
  near([&](size_t e, size_t other) { din[e] -= 2 * alpha * beta / size * o[e] * d[other] * x[other] / divisor[other]; });
  InLanes<T> input(N, {C, H, W}), output(N, {C, H, W}), delta(N, {C, H, W}), back(N, {C, H, W});
  input.fill(o);
  delta.fill(d);
  const Alone<T, LocalResponseNormOp<T>> alone(of, {C, H, W}, N, 1);
  alone.forward(input.maps, nullptr, output.maps, {0, blocks_of(N)}, 0);
  alone.input_delta(input.maps, nullptr, output.maps, delta.maps, back.maps, {0, blocks_of(N)}, 0);
  report(name, "forward", output.array(), x);
  report(name, "input_delta", back.array(), din);
}

// f(x) and f'(x) in double precision. A function that is not here is held by its bits alone.
const std::map<std::string, std::pair<double, double> (*)(double)> exactly{
    {"relu", [](double v) { return std::pair{v > 0 ? v : 0.0, v > 0 ? 1.0 : 0.0}; }},
    {"leaky_relu", [](double v) { return std::pair{v > 0 ? v : 0.01 * v, v > 0 ? 1 : 0.01}; }},
    {"sigmoid", [](double v) { return std::pair{1 / (1 + std::exp(-v)), 1 / (1 + std::exp(-v)) / (1 + std::exp(v))}; }},
    {"tanh", [](double v) { return std::pair{std::tanh(v), 1 - std::tanh(v) * std::tanh(v)}; }},
    {"scaled_tanh",
     [](double v) {
       const double t = std::tanh(v * 2 / 3);
       return std::pair{1.7159 * t, 1.7159 * 2 / 3 * (1 - t * t)};
     }},
    {"softplus", [](double v) { return std::pair{std::log1p(std::exp(v)), 1 / (1 + std::exp(-v))}; }},
    {"relu6", [](double v) { return std::pair{std::clamp(v, 0.0, 6.0), v > 0 && v < 6 ? 1.0 : 0.0}; }},
    {"elu", [](double v) { return std::pair{v > 0 ? v : std::expm1(v), v > 0 ? 1 : std::exp(v)}; }},
    {"selu",
     [](double v) {
       const double scale = 1.0507009873554804934, depth = scale * 1.6732632423543772848;
       return std::pair{v > 0 ? scale * v : depth * std::expm1(v), v > 0 ? scale : depth * std::exp(v)};
     }},
    {"hard_sigmoid", [](double v) { return std::pair{std::clamp((v + 3) / 6, 0.0, 1.0), std::fabs(v) < 3 ? 1.0 / 6 : 0.0}; }},
    {"softsign", [](double v) { return std::pair{v / (1 + std::fabs(v)), 1 / ((1 + std::fabs(v)) * (1 + std::fabs(v)))}; }},
    {"gelu",
     [](double v) {
       const double below = std::erfc(-v / std::sqrt(2.0)) / 2, pi = 4 * std::atan(1.0);
       return std::pair{v * below, below + v * std::exp(-v * v / 2) / std::sqrt(2 * pi)};
     }},
    {"gelu_tanh",
     [](double v) {
       const double root = std::sqrt(2 / (4 * std::atan(1.0))), t = std::tanh(root * (v + 0.044715 * v * v * v));
       return std::pair{v / 2 * (1 + t), (1 + t) / 2 + v / 2 * (1 - t * t) * root * (1 + 3 * 0.044715 * v * v)};
     }},
    {"silu",
     [](double v) {
       const double s = 1 / (1 + std::exp(-v));
       return std::pair{v * s, s * (1 + v * (1 - s))};
     }},
    {"mish",
     [](double v) {
       const double t = std::tanh(std::log1p(std::exp(v)));
       return std::pair{v * t, t + v * (1 - t * t) / (1 + std::exp(-v))};
     }},
    {"hard_swish",
     [](double v) {
       return std::pair{v * std::clamp((v + 3) / 6, 0.0, 1.0), std::fabs(v) < 3 ? v / 3 + 0.5 : v > 0 ? 1.0 : 0.0};
     }},
};

template <class T>
void test_activation(const Description& of, const std::string& name) {
  const size_t count = of.integer("size");
  const ActivationLayer<T> layer(of);
  const auto x = values(count, 1), d = values(count, 3);
  std::vector<T> o(count), back(count);
  const auto known = exactly.find(name);
  std::vector<double> exact(count), slope(count);
  for (size_t i = 0; i < count && known != exactly.end(); i++) {
    const auto [value, derivative] = known->second(8 * x[i]);
    exact[i] = value, slope[i] = derivative * d[i];
  }
  for (size_t i = 0; i < count; i += LANES) {
    T lanes[LANES], delta[LANES];
    for (int l = 0; l < LANES; l++) lanes[l] = T(8 * x[i + l]), delta[l] = T(d[i + l]);
    layer.forward(lanes, &o[i], 1);
    layer.input_delta(delta, lanes, &o[i], &back[i], 1);
  }
  report(name, "forward", o, known != exactly.end() ? &exact : nullptr);
  report(name, "input_delta", back, known != exactly.end() ? &slope : nullptr);
}

// The ReLU with learned slopes.
template <class T>
void test_prelu(const Description& of, const std::string& name) {
  const int N = of.integer("images");
  const Shape shape = shape_of(of);
  const PReLULayer<T> layer{of.flag("by_channel")};
  const size_t pixels = size_t(shape.H) * shape.W, count = N * shape.C * pixels;
  const auto o = values(count, 1), a = values(layer.by_channel ? shape.C : 1, 2), d = values(count, 3);
  std::vector<double> x(count), din(count), da(a.size());
  for (size_t e = 0; e < count; e++) {
    const size_t k = layer.by_channel ? e / pixels % shape.C : 0;
    const double factor = o[e] > 0 ? 1 : a[k];
    x[e] = factor * o[e], din[e] = factor * d[e], da[k] += d[e] * std::min(o[e], 0.0);
  }
  const std::vector<T> slopes(a.begin(), a.end());
  InLanes<T> input(N, shape), output(N, shape), delta(N, shape), back(N, shape);
  input.fill(o), delta.fill(d);
  const Range all{0, blocks_of(N)};
  const Groups groups{N};
  std::vector<std::vector<T>> sums(groups.count(), std::vector<T>(shape.C));
  std::vector<T*> of_groups;
  for (auto& sum : sums) of_groups.push_back(sum.data());
  for (int part = 0; part < 2; part++) {
    const Range channels = share(shape.C, part, 2);
    layer.forward(input.maps, slopes.data(), output.maps, all, channels);
    layer.input_delta(delta.maps, input.maps, slopes.data(), back.maps, all, channels);
    for (int g = 0; g < groups.count(); g++)
      for (int b = groups.blocks_in(g).begin; b < groups.blocks_in(g).end; b++) layer.weight_gradient(input.maps, delta.maps, of_groups[g], b, channels);
  }
  add_groups(of_groups, groups.count(), {0, shape.C});
  report(name, "forward", output.array(), x);
  report(name, "weight_gradient", layer.by_channel ? sums[0] : std::vector<T>{layer.of_all(sums[0].data(), shape.C)}, da);
  report(name, "input_delta", back.array(), din);
}

// The softmax over channels.
template <class T>
void test_softmax(const Description& of, const std::string& name) {
  const int N = of.integer("images");
  const Shape shape = shape_of(of);
  const SoftmaxLayer<T> layer{shape.C};
  const size_t pixels = size_t(shape.H) * shape.W, count = N * shape.C * pixels;
  auto o = values(count, 1);
  const auto d = values(count, 3);
  for (double& value : o) value *= 8;
  std::vector<double> x(count), din(count);
  for (size_t n = 0; n < size_t(N); n++)
    for (size_t p = 0; p < pixels; p++) {
      const auto at = [&](int c) { return (n * shape.C + c) * pixels + p; };
      double sum = 0, mean = 0;
      for (int c = 0; c < shape.C; c++) sum += std::exp(o[at(c)]);
      for (int c = 0; c < shape.C; c++) x[at(c)] = std::exp(o[at(c)]) / sum, mean += d[at(c)] * x[at(c)];
      for (int c = 0; c < shape.C; c++) din[at(c)] = x[at(c)] * (d[at(c)] - mean);
    }
  InLanes<T> input(N, shape), output(N, shape), delta(N, shape), back(N, shape);
  input.fill(o), delta.fill(d);
  for (int block = 0; block < blocks_of(N); block++)
    for (int part = 0; part < 2; part++) {
      const Range own = share(int(pixels), part, 2);
      layer.forward(input.maps, output.maps, block, own);
      layer.input_delta(delta.maps, output.maps, back.maps, block, own);
    }
  report(name, "forward", output.array(), x);
  report(name, "input_delta", back.array(), din);
}

// Every image of an array changed at random: bits alone, since tests/test_augmentation.py has the values.
template <class T>
void test_augment(const Description& of, const std::string& name) {
  const size_t images = of.integer("images");
  const Shape shape = shape_of(of);
  Augmentation how;
  how.shift[0] = int(of.number("shift_rows")), how.shift[1] = int(of.number("shift_columns"));
  how.flip[0] = of.number("flip_rows"), how.flip[1] = of.number("flip_columns");
  how.rotation = of.number("rotation"), how.zoom = of.number("zoom"), how.crop = of.number("crop"), how.elastic = of.number("elastic");
  how.brightness = of.number("brightness"), how.contrast = of.number("contrast"), how.noise = of.number("noise"), how.erase = of.number("erase");
  const size_t size = size_t(shape.C) * shape.H * shape.W;
  const auto drawn = [](size_t count, uint64_t stream) {
    std::vector<T> numbers;
    for (double v : values(count, stream)) numbers.push_back(T(v));
    return numbers;
  };
  const auto o = drawn(images * size, 1), mean = drawn(shape.C, 2);
  auto deviation = drawn(shape.C, 3);
  for (T& d : deviation) d = std::fabs(d);
  std::vector<T> out(images * size);
  Augmenter<T> augmenter(how, shape, mean.data(), deviation.data());
  for (size_t n = 0; n < images; n++) augmenter(o.data() + n * size, {7, 2, n}, out.data() + n * size);
  report(name, "forward", std::string("forward ") + type_name<T>(), out, true);
}

// A network and its images, from the random bits that convprop.check.bits and
// convprop.initializers take: weights by He's rule where a ReLU or what is like one comes before the next
// ones, by LeCun's where a SELU does, else by Glorot's; slopes are 1/4.
template <class T>
struct Trained {
  int batch;
  Shape input;
  Optimizer optimizer;
  double rate;
  std::vector<Factors> factors;     // of the trained parameters
  std::vector<std::string> layers;  // as descriptions

  Trained(const Description& of, const std::vector<std::string>& layers_)
      : batch(of.integer("batch")), input(shape_of(of)), rate(of.number("learning_rate")), layers(layers_) {
    const std::map<std::string, OptimizerKind> kinds{{"sgd", OptimizerKind::sgd},
                                                     {"adam", OptimizerKind::adam},
                                                     {"adamw", OptimizerKind::adamw},
                                                     {"rmsprop", OptimizerKind::rmsprop},
                                                     {"adadelta", OptimizerKind::adadelta},
                                                     {"lars", OptimizerKind::lars},
                                                     {"lamb", OptimizerKind::lamb}};
    optimizer.kind = kinds.at(of.word("optimizer"));
    const std::map<const char*, double*> settings{{"momentum", &optimizer.momentum}, {"nesterov", &optimizer.nesterov},
                                                  {"beta1", &optimizer.beta1},       {"beta2", &optimizer.beta2},
                                                  {"epsilon", &optimizer.epsilon},   {"weight_decay", &optimizer.weight_decay},
                                                  {"alpha", &optimizer.alpha},       {"rho", &optimizer.rho},
                                                  {"trust", &optimizer.trust},       {"decoupled", &optimizer.decoupled}};
    for (const auto& [name, value] : settings)
      if (of.has(name)) *value = of.number(name);
    if (!of.has("rates")) return;
    const std::vector<double> rates = of.numbers("rates"), decays = of.numbers("decays");
    for (size_t p = 0; p < rates.size(); p++) factors.push_back({rates[p], decays[p]});
  }

  // The variance of weights, by which activation comes before the next parameters: by what reads a value.
  static double variance(const std::vector<Description>& nodes, int value, double fan_in, double fan_out) {
    const double glorot = 1.0 / ((fan_in + fan_out) / 2.0);
    for (size_t n = 0; n < nodes.size(); n++) {
      const std::vector<int> reads = nodes[n].integers("reads");
      if (std::find(reads.begin(), reads.end(), value) == reads.end()) continue;
      if (nodes[n].kind() == "prelu") return 2.0 / fan_in;
      if (nodes[n].kind() == "activation") {
        const std::string& name = nodes[n].word("activation");
        if (name == "selu") return 1.0 / fan_in;
        for (const char* even : {"sigmoid", "tanh", "scaled_tanh", "softplus", "hard_sigmoid", "softsign", "identity"})
          if (name == even) return glorot;
        return 2.0 / fan_in;
      }
      return nodes[n].has("bias") || nodes[n].kind() == "softmax" ? glorot : variance(nodes, int(n) + 1, fan_in, fan_out);
    }
    return glorot;
  }

  std::vector<std::vector<T>> first_weights(const Plan<T>& plan) const {
    const std::vector<Description> nodes(layers.begin(), layers.end());
    std::vector<std::vector<T>> parameters;
    const auto& shapes = plan.parameter_shapes();
    for (size_t n = 0; n < nodes.size(); n++) {
      if (nodes[n].has("affine") && nodes[n].flag("affine")) {
        const size_t channels = size_t(shapes[parameters.size()][0]);
        parameters.emplace_back(channels, T(1));
        parameters.emplace_back(channels);
      }
      if (nodes[n].kind() == "batch_norm") {
        const size_t channels = size_t(shapes[parameters.size()][0]);
        for (T first : {T(1), T(0), T(0), T(1)}) parameters.emplace_back(channels, first);
      }
      if (nodes[n].kind() == "prelu") parameters.emplace_back(size_t(shapes[parameters.size()][0]), T(0.25));
      if (!nodes[n].has("bias")) continue;
      const auto& shape = shapes[parameters.size()];
      ptrdiff_t area = 1;
      for (size_t a = 2; a < shape.size(); a++) area *= shape[a];
      const double fan_in = double(shape[1] * area), fan_out = double(shape[0] * area);
      const double limit = std::sqrt(3.0 * variance(nodes, int(n) + 1, fan_in, fan_out));
      std::vector<T> weights;
      for (uint64_t bits : random_words(size_t(shape[0] * shape[1] * area), (uint64_t(0x494E4954) << 32) + parameters.size()))
        weights.push_back(T((2.0 * ((double(bits >> 12) + 0.5) * 0x1p-52) - 1.0) * limit));
      parameters.push_back(std::move(weights));
      if (nodes[n].flag("bias")) parameters.emplace_back(size_t(shape[0]));
    }
    return parameters;
  }

  // Two batches in turn, a whole one and a half one. The parameters one after the other, after
  // each of the recorded numbers of steps up to `steps`.
  // Batches come in parts of as many images, 0: as a whole.
  std::map<int, std::vector<T>> run(int steps, int threads, int part) const {
    Plan<T> plan(input, layers, Loss::softmax_cross_entropy, true, batch, Mode::train, threads, false, part);
    auto parameters = first_weights(plan);
    std::vector<std::vector<T>> state;
    for (int p : plan.trained())
      for (int slot = 0; slot < optimizer.slots(); slot++) state.emplace_back(parameters[p].size());
    const auto pointers = [](std::vector<std::vector<T>>& arrays) {
      std::vector<T*> result;
      for (auto& a : arrays) result.push_back(a.data());
      return result;
    };
    plan.bind(pointers(parameters));
    plan.bind_optimizer(optimizer, pointers(state), factors);
    const int half = (batch + 1) / 2;
    const size_t image = size_t(input.C) * input.H * input.W;
    std::vector<uint8_t> pixels;
    for (uint64_t bits : random_words((batch + half) * image, 50)) pixels.push_back(uint8_t(bits >> 56));
    std::vector<int32_t> labels;
    for (uint64_t bits : random_words(batch + half, 51)) labels.push_back(int32_t(bits % plan.layer_shape(plan.layers()).C));
    const std::vector<T> offset(input.C, T(127.5)), scale(input.C, T(0x1p-6));
    std::map<int, std::vector<T>> found;
    for (int step = 1; step <= steps; step++) {
      const bool first = step % 2;
      const int begin = first ? 0 : batch, count = first ? batch : half, size = part ? part : count;
      for (int n = 0; n < count; n += size)
        plan.train_step({pixels.data() + (begin + n) * image, nullptr, nullptr, std::min(size, count - n), offset.data(), scale.data(), n},
                        {labels.data() + begin + n, nullptr, nullptr, n}, nullptr, rate, step, 0, 0, size < count ? count : 0);
      if (recorded.count(std::to_string(step)))
        for (const auto& p : parameters) found[step].insert(found[step].end(), p.begin(), p.end());
    }
    return found;
  }
};

template <class T>
void test_network(const Description& of, const std::string& name, const std::vector<std::string>& layers, int steps,
                  const std::vector<int>& thread_counts) {
  const Trained<T> training(of, layers);
  const auto train = [&](int threads, int part, const std::string& how) {
    for (const auto& [step, weights] : training.run(steps, threads, part)) {
      bool finite = true;
      for (T w : weights) finite &= std::isfinite(w);
      report(name, std::to_string(step) + " steps" + how + ", threads " + std::to_string(threads), std::to_string(step), weights, finite);
    }
  };
  for (int threads : thread_counts) train(threads, 0, "");
  const bool waits = std::any_of(layers.begin(), layers.end(), [](const std::string& layer) { return layer.find("statistics=batch") != layer.npos; });
  if (training.batch > LANES && !waits) train(thread_counts.back(), LANES, " in parts");
}

// What processors do not agree on: a product that only rounding makes as large as the smallest
// normal number. x86-64 judges it after rounding and keeps it, Arm before and makes it zero.
// Results below, and those of subnormal operands, are zero on both.
template <class T>
void test_flushing() {
  using Limits = std::numeric_limits<T>;
#if defined(__aarch64__)
  const T kept = 0;
#else
  const T kept = Limits::min();
#endif
  // Volatile, so that the processor multiplies and not the compiler.
  volatile T root = std::ldexp(T(1), (Limits::min_exponent - 1) / 2), step = std::ldexp(T(1), -Limits::digits / 2 - 2), subnormal = Limits::denorm_min();
  const FloatSettings settings;
  const Lanes<T> up = (1 + step) * root, down = (1 - step) * root, middle = T(root), zero = T(0);
  const auto expect = [&](const char* what, const Lanes<T>& value, T right) {
    T got[LANES];
    value.store(got);
    const bool good = std::all_of(got, got + LANES, [&](T g) { return g == right; });
    (good ? passed : failed)++;
    std::printf("%s flushing %s %s %a\n", good ? "ok     " : "WRONG  ", what, type_name<T>(), double(got[0]));
  };
  // (1 + step) (1 - step) = 1 - step², less than half a unit in the last place below 1.
  expect("rounded-up-product", up * down, kept);
  expect("rounded-up-fma", fma(up, down, zero), kept);
  expect("below", middle * down, T(0));
  expect("subnormal-operand", Lanes<T>(subnormal) / Lanes<T>(Limits::min()), T(0));
}

template <class T>
void test_case(const std::string& text, int steps, const std::vector<int>& thread_counts) {
  std::vector<std::string> parts;  // the case, and a network's layers
  for (size_t begin = 0, end = 0; end != std::string::npos; begin = end + 3) {
    end = text.find(" : ", begin);
    parts.push_back(text.substr(begin, end - begin));
  }
  const Description of(parts[0]);
  const std::string name = of.word("name");
  const std::vector<std::string> layers(parts.begin() + 1, parts.end());
  if (of.kind() == "conv") test_conv<T>(of, name);
  else if (of.kind() == "pool") test_pool<T>(of, name);
  else if (of.kind() == "channel_shuffle") test_channel_shuffle<T>(of, name);
  else if (of.kind() == "dense") test_dense<T>(of, name);
  else if (of.kind() == "join") test_join<T>(of, name);
  else if (of.kind() == "group_norm") test_image_norm<T, GroupNormOp<T>>(of, name);
  else if (of.kind() == "layer_norm") test_image_norm<T, LayerNormOp<T>>(of, name);
  else if (of.kind() == "local_response_norm") test_local_response_norm<T>(of, name);
  else if (of.kind() == "activation") test_activation<T>(of, name);
  else if (of.kind() == "prelu") test_prelu<T>(of, name);
  else if (of.kind() == "softmax") test_softmax<T>(of, name);
  else if (of.kind() == "augment") test_augment<T>(of, name);
  else if (of.kind() != "network") failed++, std::printf("WRONG   unknown operation %s\n", of.kind().c_str());
  else if (of.word("dtype") == type_name<T>()) test_network<T>(of, name, layers, steps, thread_counts);
}

}  // namespace

int main(int argc, char** argv) {
#if defined(__AVX512F__)
  if (!__builtin_cpu_supports("avx512f")) return 77;
#elif defined(__AVX2__)
  if (!__builtin_cpu_supports("avx2")) return 77;
#endif
  std::ifstream file(argc > 1 ? argv[1] : "");
  if (!file) return std::fprintf(stderr, "usage: selftest FILE [STEPS [THREADS...]]\n"), 2;
  const int steps = argc > 2 ? std::atoi(argv[2]) : 2;
  std::vector<int> thread_counts;
  for (int i = 3; i < argc; i++) thread_counts.push_back(std::atoi(argv[i]));
  if (thread_counts.empty()) thread_counts = {1, 2, 3, 7};
  std::string text, line;
  const auto test = [&] {
    if (text.empty()) return;
    test_case<float>(text, steps, thread_counts);
    test_case<double>(text, steps, thread_counts);
    text.clear(), recorded.clear();
  };
  // A case begins its line; its results follow, indented: what it is, and the hash.
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    if (line[0] != ' ') test(), text = line;
    else recorded[line.substr(2, line.rfind(' ') - 2)] = line.substr(line.rfind(' ') + 1);
  }
  test();
  test_flushing<float>();
  test_flushing<double>();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed || !passed;
}
