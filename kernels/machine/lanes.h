// The sixteen-lane value: the same pixel of sixteen images.
//
// A Lanes<T> is held in as many machine vectors ("parts") as the instruction set needs:
// one for float on AVX-512, two on AVX2, four on NEON. Every operation acts on each lane
// alone and rounds once, so its bits do not depend on how many parts there are.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#else
#error "convprop has been written for x86-64 and AArch64"
#endif

namespace convprop {

inline constexpr int LANES = 16;

#if defined(__AVX512F__)
inline constexpr int VECTOR_BYTES = 64;
inline constexpr int VECTOR_REGISTERS = 32;
#elif defined(__AVX2__)
inline constexpr int VECTOR_BYTES = 32;
inline constexpr int VECTOR_REGISTERS = 16;
#elif defined(__aarch64__)
inline constexpr int VECTOR_BYTES = 16;
inline constexpr int VECTOR_REGISTERS = 32;
#else
inline constexpr int VECTOR_BYTES = 16;
inline constexpr int VECTOR_REGISTERS = 16;
#endif

#define CONVPROP_INLINE inline __attribute__((always_inline))

template <class T>
struct Lanes {
  static constexpr int PARTS = LANES * int(sizeof(T)) / VECTOR_BYTES;
  static constexpr int WIDTH = LANES / PARTS;
  typedef T Part __attribute__((vector_size(VECTOR_BYTES)));
  // The integer of T's size: what comparisons give (all ones or all zeros) and bit patterns are.
  using Int = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  template <class U>
  using Of = Lanes<U>;

  Part part[PARTS];

  Lanes() = default;
  CONVPROP_INLINE Lanes(T value) {
    for (int p = 0; p < PARTS; p++) part[p] = filled(value, std::make_integer_sequence<int, WIDTH>());
  }
  static CONVPROP_INLINE Lanes load(const T* from) {
    Lanes a;
    for (int p = 0; p < PARTS; p++) std::memcpy(&a.part[p], from + p * WIDTH, VECTOR_BYTES);
    return a;
  }
  CONVPROP_INLINE void store(T* to) const {
    for (int p = 0; p < PARTS; p++) std::memcpy(to + p * WIDTH, &part[p], VECTOR_BYTES);
  }

 private:
  // Compilers make one broadcast of this; of a sum with zeros they make an addition as well.
  template <int... LANE>
  static CONVPROP_INLINE Part filled(T value, std::integer_sequence<int, LANE...>) {
    return Part{((void)LANE, value)...};
  }
};

template <class T>
using IntLanes = Lanes<typename Lanes<T>::Int>;

// One number with the operations of sixteen, for code that is written for either.
template <class T>
struct Single {
  template <class U>
  using Of = Single<U>;
  T value;

  Single() = default;
  CONVPROP_INLINE Single(T v) : value(v) {}
  static CONVPROP_INLINE Single load(const T* from) { return *from; }
  CONVPROP_INLINE void store(T* to) const { *to = value; }
};

#define CONVPROP_LANEWISE(op)                                                 \
  template <class T>                                                          \
  CONVPROP_INLINE Lanes<T> operator op(const Lanes<T>& a, const Lanes<T>& b) { \
    Lanes<T> r;                                                               \
    for (int p = 0; p < Lanes<T>::PARTS; p++) r.part[p] = a.part[p] op b.part[p]; \
    return r;                                                                 \
  }
CONVPROP_LANEWISE(+)
CONVPROP_LANEWISE(-)
CONVPROP_LANEWISE(*)
CONVPROP_LANEWISE(/)
CONVPROP_LANEWISE(&)
CONVPROP_LANEWISE(|)
CONVPROP_LANEWISE(^)
#undef CONVPROP_LANEWISE

#define CONVPROP_COMPARISON(op)                                                  \
  template <class T>                                                             \
  CONVPROP_INLINE IntLanes<T> operator op(const Lanes<T>& a, const Lanes<T>& b) { \
    IntLanes<T> r;                                                               \
    for (int p = 0; p < Lanes<T>::PARTS; p++) r.part[p] = (typename IntLanes<T>::Part)(a.part[p] op b.part[p]); \
    return r;                                                                    \
  }
CONVPROP_COMPARISON(<)
CONVPROP_COMPARISON(>)
CONVPROP_COMPARISON(==)
CONVPROP_COMPARISON(!=)
CONVPROP_COMPARISON(<=)
#undef CONVPROP_COMPARISON

#define CONVPROP_SINGLE(result, op) \
  template <class T>                \
  CONVPROP_INLINE result operator op(Single<T> a, Single<T> b) { return a.value op b.value; }
CONVPROP_SINGLE(Single<T>, +)
CONVPROP_SINGLE(Single<T>, -)
CONVPROP_SINGLE(Single<T>, *)
CONVPROP_SINGLE(Single<T>, /)
CONVPROP_SINGLE(bool, ==)
CONVPROP_SINGLE(bool, !=)
CONVPROP_SINGLE(bool, <=)
CONVPROP_SINGLE(bool, >)
#undef CONVPROP_SINGLE

template <class T>
CONVPROP_INLINE Single<T> operator-(Single<T> a) { return -a.value; }
template <class T>
CONVPROP_INLINE Single<T> select(bool mask, Single<T> a, Single<T> b) { return mask ? a : b; }
template <class T>
CONVPROP_INLINE Lanes<T> operator-(const Lanes<T>& a) {
  Lanes<T> r;
  for (int p = 0; p < Lanes<T>::PARTS; p++) r.part[p] = -a.part[p];
  return r;
}

// Each whole number divided by 2^count, rounded down.
template <class Int>
CONVPROP_INLINE Lanes<Int> operator>>(const Lanes<Int>& a, int count) {
  Lanes<Int> r;
  for (int p = 0; p < Lanes<Int>::PARTS; p++) r.part[p] = a.part[p] >> count;
  return r;
}

// a where the mask is set, else b.
template <class T>
CONVPROP_INLINE Lanes<T> select(const IntLanes<T>& mask, const Lanes<T>& a, const Lanes<T>& b) {
  Lanes<T> r;
  for (int p = 0; p < Lanes<T>::PARTS; p++) r.part[p] = mask.part[p] ? a.part[p] : b.part[p];
  return r;
}

template <class T>
CONVPROP_INLINE Lanes<T> max(const Lanes<T>& a, const Lanes<T>& b) {
  return select(a < b, b, a);
}

// The numbers in another precision, rounded once.
template <class U, class T>
CONVPROP_INLINE Lanes<U> converted(const Lanes<T>& a) {
  if constexpr (std::is_same_v<T, U>) {
    return a;
  } else {
    alignas(VECTOR_BYTES) T from[LANES];
    alignas(VECTOR_BYTES) U to[LANES];
    a.store(from);
    for (int l = 0; l < LANES; l++) to[l] = U(from[l]);
    return Lanes<U>::load(to);
  }
}
template <class U, class T>
CONVPROP_INLINE Single<U> converted(Single<T> a) { return U(a.value); }

template <class T>
CONVPROP_INLINE Lanes<T> min(const Lanes<T>& a, const Lanes<T>& b) {
  return select(b < a, b, a);
}

template <class T>
CONVPROP_INLINE IntLanes<T> bits_of(const Lanes<T>& a) {
  IntLanes<T> r;
  std::memcpy(&r, &a, sizeof a);
  return r;
}

template <class T>
CONVPROP_INLINE Lanes<T> from_bits(const IntLanes<T>& a) {
  Lanes<T> r;
  std::memcpy(&r, &a, sizeof a);
  return r;
}

template <class T>
CONVPROP_INLINE Lanes<T> abs(const Lanes<T>& a) {
  using Int = typename Lanes<T>::Int;
  const Int sign = Int(1) << (sizeof(T) * 8 - 1);
  return from_bits<T>(bits_of(a) & IntLanes<T>(Int(~sign)));
}

// a·b + c, rounded once. x86-64-v2 has no such instruction: that build rounds twice,
// and the promise of equal bits leaves it out.
#if defined(__AVX512F__)
CONVPROP_INLINE __m512 fma_part(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }
CONVPROP_INLINE __m512d fma_part(__m512d a, __m512d b, __m512d c) { return _mm512_fmadd_pd(a, b, c); }
// (the masked form, since GCC 12 warns of its own header in the plain one)
CONVPROP_INLINE __m512 sqrt_part(__m512 a) { return _mm512_maskz_sqrt_ps(__mmask16(-1), a); }
CONVPROP_INLINE __m512d sqrt_part(__m512d a) { return _mm512_maskz_sqrt_pd(__mmask8(-1), a); }
#elif defined(__AVX2__)
CONVPROP_INLINE __m256 fma_part(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }
CONVPROP_INLINE __m256d fma_part(__m256d a, __m256d b, __m256d c) { return _mm256_fmadd_pd(a, b, c); }
CONVPROP_INLINE __m256 sqrt_part(__m256 a) { return _mm256_sqrt_ps(a); }
CONVPROP_INLINE __m256d sqrt_part(__m256d a) { return _mm256_sqrt_pd(a); }
#elif defined(__x86_64__)
CONVPROP_INLINE __m128 fma_part(__m128 a, __m128 b, __m128 c) { return a * b + c; }
CONVPROP_INLINE __m128d fma_part(__m128d a, __m128d b, __m128d c) { return a * b + c; }
CONVPROP_INLINE __m128 sqrt_part(__m128 a) { return _mm_sqrt_ps(a); }
CONVPROP_INLINE __m128d sqrt_part(__m128d a) { return _mm_sqrt_pd(a); }
#else
CONVPROP_INLINE float32x4_t fma_part(float32x4_t a, float32x4_t b, float32x4_t c) { return vfmaq_f32(c, a, b); }
CONVPROP_INLINE float64x2_t fma_part(float64x2_t a, float64x2_t b, float64x2_t c) { return vfmaq_f64(c, a, b); }
CONVPROP_INLINE float32x4_t sqrt_part(float32x4_t a) { return vsqrtq_f32(a); }
CONVPROP_INLINE float64x2_t sqrt_part(float64x2_t a) { return vsqrtq_f64(a); }
#endif

template <class T>
CONVPROP_INLINE Lanes<T> fma(const Lanes<T>& a, const Lanes<T>& b, const Lanes<T>& c) {
  Lanes<T> r;
  for (int p = 0; p < Lanes<T>::PARTS; p++) r.part[p] = (typename Lanes<T>::Part)fma_part(a.part[p], b.part[p], c.part[p]);
  return r;
}

template <class T>
CONVPROP_INLINE Lanes<T> sqrt(const Lanes<T>& a) {
  Lanes<T> r;
  for (int p = 0; p < Lanes<T>::PARTS; p++) r.part[p] = (typename Lanes<T>::Part)sqrt_part(a.part[p]);
  return r;
}

template <class T>
CONVPROP_INLINE Single<T> fma(Single<T> a, Single<T> b, Single<T> c) {
#if defined(__FMA__) || defined(__aarch64__)
  return std::fma(a.value, b.value, c.value);
#else
  return a.value * b.value + c.value;
#endif
}

template <class T>
CONVPROP_INLINE Single<T> sqrt(Single<T> a) { return std::sqrt(a.value); }

// The numbers of two vectors, counted through both, at the given places.
template <int... PLACE, class Part>
CONVPROP_INLINE Part shuffle(Part a, Part b) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(a, b, PLACE...);
#else
  typedef std::conditional_t<sizeof(a[0]) == 4, int32_t, int64_t> Mask __attribute__((vector_size(sizeof(Part))));
  return __builtin_shuffle(a, b, Mask{PLACE...});
#endif
}

// Rows i and i + STEP of a square change places where their lanes say so: one of the stages
// of its transposition.
template <int STEP, class T, int... LANE>
CONVPROP_INLINE void exchange(Lanes<T>& a, Lanes<T>& b, std::integer_sequence<int, LANE...>) {
  constexpr int WIDTH = Lanes<T>::WIDTH;
  if constexpr (STEP >= WIDTH) {
    for (int p = 0; p < Lanes<T>::PARTS; p++)
      if ((p * WIDTH & STEP) == 0) std::swap(a.part[p + STEP / WIDTH], b.part[p]);
  } else {
    for (int p = 0; p < Lanes<T>::PARTS; p++) {
      const auto first = shuffle<((LANE & STEP) == 0 ? LANE : WIDTH + LANE - STEP)...>(a.part[p], b.part[p]);
      b.part[p] = shuffle<((LANE & STEP) == 0 ? LANE + STEP : WIDTH + LANE)...>(a.part[p], b.part[p]);
      a.part[p] = first;
    }
  }
}

// Lane l of row r becomes lane r of row l.
template <class T>
CONVPROP_INLINE void transpose(Lanes<T> (&rows)[LANES]) {
  constexpr std::make_integer_sequence<int, Lanes<T>::WIDTH> lanes;
#pragma GCC unroll 16
  for (int r = 0; r < LANES; r++)
    if (!(r & 1)) exchange<1>(rows[r], rows[r + 1], lanes);
#pragma GCC unroll 16
  for (int r = 0; r < LANES; r++)
    if (!(r & 2)) exchange<2>(rows[r], rows[r + 2], lanes);
#pragma GCC unroll 16
  for (int r = 0; r < LANES; r++)
    if (!(r & 4)) exchange<4>(rows[r], rows[r + 4], lanes);
#pragma GCC unroll 16
  for (int r = 0; r < LANES; r++)
    if (!(r & 8)) exchange<8>(rows[r], rows[r + 8], lanes);
}

// The even places of two values side by side into a, the odd ones into b; and back.
template <class T, int... LANE>
CONVPROP_INLINE void deinterleave(Lanes<T>& a, Lanes<T>& b, std::integer_sequence<int, LANE...>) {
  constexpr int PARTS = Lanes<T>::PARTS;
  const auto part = [&](int p) { return (p < PARTS ? a : b).part[p % PARTS]; };
  Lanes<T> even, odd;
  for (int p = 0; p < PARTS; p++) {
    even.part[p] = shuffle<(2 * LANE)...>(part(2 * p), part(2 * p + 1));
    odd.part[p] = shuffle<(2 * LANE + 1)...>(part(2 * p), part(2 * p + 1));
  }
  a = even, b = odd;
}

template <class T, int... LANE>
CONVPROP_INLINE void interleave(Lanes<T>& a, Lanes<T>& b, std::integer_sequence<int, LANE...>) {
  constexpr int PARTS = Lanes<T>::PARTS, WIDTH = Lanes<T>::WIDTH;
  Lanes<T> both[2];
  for (int p = 0; p < PARTS; p++) {
    both[2 * p / PARTS].part[2 * p % PARTS] = shuffle<(LANE / 2 + LANE % 2 * WIDTH)...>(a.part[p], b.part[p]);
    both[(2 * p + 1) / PARTS].part[(2 * p + 1) % PARTS] = shuffle<(WIDTH / 2 + LANE / 2 + LANE % 2 * WIDTH)...>(a.part[p], b.part[p]);
  }
  a = both[0], b = both[1];
}

// The sum of the sixteen lanes by halves: l + (l+8), then + (l+4), + (l+2), + (l+1).
template <class T>
CONVPROP_INLINE T sum_of_lanes(const Lanes<T>& a) {
  typedef T Eight __attribute__((vector_size(8 * sizeof(T))));
  typedef T Four __attribute__((vector_size(4 * sizeof(T))));
  typedef T Two __attribute__((vector_size(2 * sizeof(T))));
  struct { Eight low, high; } e;
  static_assert(sizeof e == sizeof a);
  std::memcpy(&e, &a, sizeof a);
  const Eight eight = e.low + e.high;
  struct { Four low, high; } f;
  std::memcpy(&f, &eight, sizeof f);
  const Four four = f.low + f.high;
  struct { Two low, high; } t;
  std::memcpy(&t, &four, sizeof t);
  const Two two = t.low + t.high;
  return two[0] + two[1];
}

// The sums of the lanes of sixteen values, each by halves as in sum_of_lanes: lane l of the
// result is that of value l.
template <class T>
CONVPROP_INLINE Lanes<T> sums_of_lanes(Lanes<T> (&values)[LANES]) {
  constexpr std::make_integer_sequence<int, Lanes<T>::WIDTH> lanes;
  const auto halve = [&]<int STEP>(std::integral_constant<int, STEP>) {
#pragma GCC unroll 8
    for (int i = 0; i < STEP; i++) {
      exchange<STEP>(values[i], values[i + STEP], lanes);
      values[i] = values[i] + values[i + STEP];
    }
  };
  halve(std::integral_constant<int, 8>()), halve(std::integral_constant<int, 4>());
  halve(std::integral_constant<int, 2>()), halve(std::integral_constant<int, 1>());
  return values[0];
}

// The engine's own way of rounding while one of these lives: to the nearest number, without traps,
// and subnormal numbers count as zero: they carry nothing that training needs and cost a hundred
// times a normal one. The caller's way, whatever it was, comes back.
class FloatSettings {
 public:
#if defined(__x86_64__)
  FloatSettings() : saved_(_mm_getcsr()) { _mm_setcsr(ALL_MASKED | 0x8040u); }
  ~FloatSettings() { _mm_setcsr(saved_); }

 private:
  static constexpr unsigned ALL_MASKED = 0x1F80u;
  unsigned saved_;
#else
  FloatSettings() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
    const uint64_t flush = uint64_t(1) << 24;
    __asm__ volatile("msr fpcr, %0" : : "r"(flush));
  }
  ~FloatSettings() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_)); }

 private:
  uint64_t saved_;
#endif
  FloatSettings(const FloatSettings&) = delete;
  FloatSettings& operator=(const FloatSettings&) = delete;
};

}  // namespace convprop
