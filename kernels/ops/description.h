// What an operation of a network is told of itself, in words and numbers on one line:
//
//   conv reads=0 kernels=6 kernel_size=5,5 stride=1,1 padding=2,2,2,2 ...
//
// its kind, then its properties. Python writes such lines, the self-test reads them from
// check/bits.txt, and an operation takes its own apart.
#pragma once

#include <array>
#include <charconv>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace convprop {

class Description {
 public:
  // std::invalid_argument, here and below, for what is no description, or lacks or misstates a property.
  explicit Description(std::string_view line) {
    const size_t behind_kind = std::min(line.find(' '), line.size());
    kind_ = line.substr(0, behind_kind);
    if (kind_.empty()) refuse("its kind is missing");
    for (line.remove_prefix(behind_kind); !line.empty();) {
      line.remove_prefix(1);
      const std::string_view word = line.substr(0, line.find(' '));
      const size_t equals = word.find('=');
      if (equals == word.npos || equals == 0) refuse(std::string(word) + " is no property");
      properties_.emplace_back(word.substr(0, equals), word.substr(equals + 1));
      line.remove_prefix(word.size());
    }
  }

  const std::string& kind() const { return kind_; }

  const std::string& word(const char* name) const {
    const std::string* found = find(name);
    if (!found) refuse(std::string("it lacks ") + name);
    return *found;
  }

  bool has(const char* name) const { return find(name) != nullptr; }
  std::vector<int> integers(const char* name) const { return numbers<int>(name); }
  template <size_t N>
  std::array<int, N> integers(const char* name) const {
    const std::vector<int> given = integers(name);
    if (given.size() != N) refuse(std::string(name) + " must be " + std::to_string(N) + " integers");
    std::array<int, N> values{};
    std::copy(given.begin(), given.end(), values.begin());
    return values;
  }
  int integer(const char* name) const { return integers<1>(name)[0]; }
  bool flag(const char* name) const { return integer(name) != 0; }
  std::vector<double> numbers(const char* name) const { return numbers<double>(name); }
  double number(const char* name) const {
    const std::vector<double> given = numbers(name);
    if (given.size() != 1) refuse(std::string(name) + " must be a number");
    return given[0];
  }

  // Which of so many parameters are trained: all of them, where it does not say.
  std::vector<bool> trained(int count) const {
    if (!has("trained")) return std::vector<bool>(size_t(count), true);
    const std::vector<int> given = integers("trained");
    if (int(given.size()) != count) refuse("trained must have one number a parameter");
    return std::vector<bool>(given.begin(), given.end());
  }

  [[noreturn]] void refuse(const std::string& why) const { throw std::invalid_argument("a " + kind_ + ": " + why); }

 private:
  const std::string* find(std::string_view name) const {
    for (const auto& [known, value] : properties_)
      if (known == name) return &value;
    return nullptr;
  }

  template <class Number>
  std::vector<Number> numbers(const char* name) const {
    const std::string& text = word(name);
    std::vector<Number> values;
    const char *next = text.data(), *const end = next + text.size();
    while (true) {
      values.emplace_back();
      const auto [behind, error] = std::from_chars(next, end, values.back());
      if (error != std::errc() || (behind != end && *behind != ',')) refuse(std::string(name) + " must be numbers, got " + text);
      if (behind == end) return values;
      next = behind + 1;
    }
  }

  std::string kind_;
  std::vector<std::pair<std::string, std::string>> properties_;
};

// The alternative of a variant whose name the word of a property is; made of the description where
// it has settings of its own.
template <class Variant, size_t I = 0>
Variant named(const Description& description, const char* property) {
  if constexpr (I == std::variant_size_v<Variant>) {
    description.refuse("there is no " + std::string(property) + " " + description.word(property));
  } else {
    using One = std::variant_alternative_t<I, Variant>;
    if (description.word(property) != One::name) return named<Variant, I + 1>(description, property);
    if constexpr (std::is_constructible_v<One, const Description&>) return One(description);
    else return One{};
  }
}

}  // namespace convprop
