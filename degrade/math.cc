// SPDX-License-Identifier: Apache-2.0
#include "degrade/math.h"

#include <cmath>

namespace cpl::degrade {

double PreciseExp(double x) {
  constexpr double kLn2 = 0.69314718055994530942;
  const double k = std::floor(x / kLn2 + 0.5);
  const double r = x - k * kLn2;
  double sum = 1;
  for (int n = 18; n >= 1; --n) sum = 1 + sum * r / n;
  return std::ldexp(sum, static_cast<int>(k));
}

double PreciseLog(double x) {
  constexpr double kLn2 = 0.69314718055994530942;
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // 0.5 .. 1
  if (m < 0.70710678118654752440) {
    m *= 2;
    --exponent;
  }
  // ln m = 2 artanh((m - 1) / (m + 1)), whose series converges fast for arguments below 0.18.
  const double z = (m - 1) / (m + 1);
  const double zz = z * z;
  double sum = 0;
  for (int n = 21; n >= 1; n -= 2) sum = sum * zz + 1.0 / n;
  return 2 * z * sum + exponent * kLn2;
}

double Sin(double x) {
  // To within a quarter turn of a whole number of half turns, whose parity is the sign.
  const double k = std::floor(x / kPi + 0.5);
  const double r = x - k * kPi;
  const double rr = r * r;
  double sum = 1;
  for (int n = 20; n >= 2; n -= 2) sum = 1 - sum * rr / (n * (n + 1));
  return (static_cast<long long>(k) % 2 != 0) ? -r * sum : r * sum;
}

}  // namespace cpl::degrade
