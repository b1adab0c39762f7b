#include "arithmetic.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "../../../vec/convert.h"

namespace fo::cuda::stand_in::ptx {
namespace {

template <class T>
T as(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T>
uint64_t bits(T value) {
  uint64_t all = 0;
  std::memcpy(&all, &value, sizeof value);
  return all;
}

std::runtime_error unknown(const char* what) { return std::runtime_error(std::string("no ") + what); }

// f(T()) for the C++ type of an operand.
template <class F>
uint64_t typed(Type type, const F& f) {
  if (type.kind == Kind::kFloat) {
    if (type.bytes == 8) return f(double());
    if (type.bytes == 4) return f(float());
    throw unknown("such float");
  }
  const bool is_signed = type.kind == Kind::kSigned;
  switch (type.bytes) {
    case 1:
      return is_signed ? f(int8_t()) : f(uint8_t());
    case 2:
      return is_signed ? f(int16_t()) : f(uint16_t());
    case 4:
      return is_signed ? f(int32_t()) : f(uint32_t());
    default:
      return is_signed ? f(int64_t()) : f(uint64_t());
  }
}

// The type in which two's complement is computed without overflow; floats as they are.
template <class T>
using Wrapping = typename std::conditional_t<std::is_floating_point<T>::value, std::common_type<T>,
                                             std::common_type<uint64_t>>::type;

template <class T, class F>
uint64_t wrapped(const F& f, uint64_t a, uint64_t b, uint64_t c = 0) {
  using W = Wrapping<T>;
  if constexpr (std::is_floating_point<T>::value) {
    return bits<T>(f(as<T>(a), as<T>(b), as<T>(c)));
  } else {
    return low_bytes(f(W(a), W(b), W(c)), sizeof(T));
  }
}

template <class T>
T ratio(T a, T b) {
  if constexpr (std::is_floating_point<T>::value) {
    return a / b;
  } else {
    return b == 0 ? T(-1) : std::is_signed<T>::value && b == T(-1) ? T(0 - uint64_t(a)) : T(a / b);
  }
}

template <class T>
T remainder(T a, T b) {
  if constexpr (std::is_floating_point<T>::value) {
    throw unknown("remainder of floats");
  } else {
    return b == 0 ? a : std::is_signed<T>::value && b == T(-1) ? T(0) : T(a % b);
  }
}

// The one that is a number, where only one is.
template <class T>
T extreme(T a, T b, bool greatest) {
  if (a != a) return b;
  if (b != b) return a;
  return (a < b) == greatest ? b : a;
}

template <class T>
bool compares(Compare how, bool or_unordered, T a, T b) {
  const bool unordered = a != a || b != b;
  if (how == Compare::kNum) return !unordered;
  if (how == Compare::kNan) return unordered;
  if (unordered) return or_unordered;
  switch (how) {
    case Compare::kEq:
      return a == b;
    case Compare::kNe:
      return a != b;
    case Compare::kLt:
      return a < b;
    case Compare::kLe:
      return a <= b;
    case Compare::kGt:
      return a > b;
    default:
      return a >= b;
  }
}

template <class To, class From>
To converted(From value, bool truncates) {
  if constexpr (std::is_floating_point<From>::value && std::is_integral<To>::value) {
    if (!truncates) throw unknown("rounding of floats to integers but towards zero");
    if (value != value) return 0;
    const From least = From(std::numeric_limits<To>::min()), most = From(std::numeric_limits<To>::max());
    return value <= least  ? std::numeric_limits<To>::min()
           : value >= most ? std::numeric_limits<To>::max()
                           : To(value);
  } else if constexpr (std::is_floating_point<From>::value) {
    return To(truncates ? std::trunc(value) : value);
  } else {
    return To(value);
  }
}

// A GPU has one NaN of its own.
uint32_t rounded_bf16(float value) { return value != value ? 0x7fffu : to_bf16(value); }

uint64_t permuted(uint64_t a, uint64_t b, uint64_t selector) {
  const uint64_t all = low_bytes(a, 4) | low_bytes(b, 4) << 32;
  uint64_t result = 0;
  for (int i = 0; i < 4; ++i) {
    const uint64_t choice = selector >> (4 * i) & 15;
    uint64_t byte = all >> (8 * (choice & 7)) & 0xff;
    if (choice & 8) byte = byte & 0x80 ? 0xff : 0;
    result |= byte << (8 * i);
  }
  return result;
}

float flushed(float value) {
  return std::fabs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0f, value) : value;
}

// Whether a GPU's own division or square root would be exact with this guess, as they are: they begin with
// one, and take these steps.
bool serves(float value, float guess, bool is_root) {
  if (!is_root) return std::fma(guess, std::fma(-value, guess, 1.0f), guess) == 1 / value;
  const float root = value * guess;
  return std::fma(std::fma(-root, root, value), guess * 0.5f, root) == std::sqrt(value);
}

uint64_t approximate(const Instruction& made, uint64_t a, std::minstd_rand* random) {
  const bool is_root = made.op == Op::kRsqrtApprox;
  if (made.type.bytes == 8) {
    if (is_root) throw unknown("rsqrt of float64");
    // The upper half of the reciprocal; the lower is zero.
    return bits(1 / as<double>(a)) & ~uint64_t(0xffffffff);
  }
  const float value = flushed(as<float>(a));
  const float nearest = flushed(float(is_root ? 1 / std::sqrt(double(value)) : 1 / double(value)));
  if (!std::isfinite(nearest) || nearest == 0) return bits(nearest);
  // One unit in the last place off, or none.
  const float guess = as<float>(bits(nearest) + (*random)() % 3 - 1);
  return bits(serves(value, guess, is_root) ? guess : nearest);
}

uint64_t of_one_type(const Instruction& made, uint64_t a, uint64_t b, uint64_t c) {
  return typed(made.type, [&](auto tag) -> uint64_t {
    using T = decltype(tag);
    constexpr bool kIsFloat = std::is_floating_point<T>::value;
    switch (made.op) {
      case Op::kAdd:
        return wrapped<T>([](auto x, auto y, auto) { return x + y; }, a, b);
      case Op::kSub:
        return wrapped<T>([](auto x, auto y, auto) { return x - y; }, a, b);
      case Op::kMul:
        return wrapped<T>([](auto x, auto y, auto) { return x * y; }, a, b);
      case Op::kMad:
        return wrapped<T>([](auto x, auto y, auto z) { return x * y + z; }, a, b, c);
      case Op::kNeg:
        if constexpr (kIsFloat) return bits<T>(-as<T>(a));
        return low_bytes(0 - a, sizeof(T));
      case Op::kDiv:
        return bits<T>(ratio(as<T>(a), as<T>(b)));
      case Op::kRem:
        return bits<T>(remainder(as<T>(a), as<T>(b)));
      case Op::kMin:
        return bits<T>(extreme(as<T>(a), as<T>(b), false));
      case Op::kMax:
        return bits<T>(extreme(as<T>(a), as<T>(b), true));
      case Op::kSetp:
        return compares(made.compare, made.or_unordered, as<T>(a), as<T>(b)) ? 1 : 0;
      default:
        break;
    }
    if constexpr (kIsFloat) {
      switch (made.op) {
        case Op::kFma:
          return bits<T>(std::fma(as<T>(a), as<T>(b), as<T>(c)));
        case Op::kSqrt:
          return bits<T>(std::sqrt(as<T>(a)));
        case Op::kRcp:
          return bits<T>(1 / as<T>(a));
        case Op::kAbs:
          return bits<T>(std::fabs(as<T>(a)));
        case Op::kCopySign:
          return bits<T>(std::copysign(as<T>(b), as<T>(a)));
        default:
          break;
      }
    }
    throw unknown("such instruction of this type");
  });
}

}  // namespace

uint64_t low_bytes(uint64_t value, uint8_t bytes) {
  return bytes >= 8 ? value : value & ((uint64_t(1) << (8 * bytes)) - 1);
}

uint64_t extended(uint64_t value, Type type) {
  const int shift = 64 - 8 * type.bytes;
  if (type.kind == Kind::kSigned) return uint64_t(int64_t(value << shift) >> shift);
  return low_bytes(value, type.bytes);
}

uint64_t compute(const Instruction& made, uint64_t a, uint64_t b, uint64_t c, std::minstd_rand* random) {
  const Type type = made.type;
  const uint64_t width = 8 * uint64_t(type.bytes);
  switch (made.op) {
    case Op::kMov:
      return low_bytes(a, type.bytes);
    case Op::kAnd:
      return low_bytes(a & b, type.bytes);
    case Op::kOr:
      return low_bytes(a | b, type.bytes);
    case Op::kXor:
      return low_bytes(a ^ b, type.bytes);
    case Op::kNot:
      return type.kind == Kind::kPredicate ? a ^ 1 : low_bytes(~a, type.bytes);
    case Op::kSelp:
      return low_bytes(c & 1 ? a : b, type.bytes);
    case Op::kShl:
      return low_bytes(b, 4) >= width ? 0 : low_bytes(a << low_bytes(b, 4), type.bytes);
    case Op::kShr: {
      const uint64_t by = std::min(low_bytes(b, 4), type.kind == Kind::kSigned ? width - 1 : width);
      if (type.kind == Kind::kSigned)
        return low_bytes(uint64_t(int64_t(extended(a, type)) >> by), type.bytes);
      return by == 64 ? 0 : low_bytes(a, type.bytes) >> by;
    }
    case Op::kMulWide:
      return low_bytes(extended(a, type) * extended(b, type), uint8_t(2 * type.bytes));
    case Op::kPrmt:
      return permuted(a, b, c);
    case Op::kCvtBf16x2:
      return uint64_t(rounded_bf16(as<float>(a))) << 16 | rounded_bf16(as<float>(b));
    case Op::kCvt:
      return typed(made.from, [&](auto from) {
        return typed(type, [&](auto to) {
          return bits(converted<decltype(to)>(as<decltype(from)>(a), made.truncates));
        });
      });
    case Op::kRcpApprox:
    case Op::kRsqrtApprox:
      return approximate(made, a, random);
    default:
      return of_one_type(made, a, b, c);
  }
}

}  // namespace fo::cuda::stand_in::ptx
