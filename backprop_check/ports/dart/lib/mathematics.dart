/// What `dart:math` does not have. log1p, expm1, tanh and erfc are precise to a few units in the last digit.
library;

import 'dart:math';

typedef Numbers = List<double>;

/// The sum, from left to right.
double addUp(Numbers numbers) {
  var total = 0.0;
  for (final number in numbers) {
    total += number;
  }
  return total;
}

double largestOf(Numbers numbers) => numbers.reduce(max);

/// t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
double timesLog(double t, double p) => t == 0.0 ? 0.0 : t * log(p);

/// t / p, the derivative of t ln p with regard to p.
double divide(double t, double p) => t == 0.0 ? 0.0 : t / p;

/// ln(1 + x). For a small x, 1 + x is rounded; the factor x / (what is left of x) undoes that.
double log1p(double x) {
  final u = 1.0 + x;
  if (u == 1.0) return x;
  if (x > 1.0) return log(u);
  return log(u) * (x / (u - 1.0));
}

/// e^x - 1. For a small x the subtraction loses digits; the factor x / ln(e^x) brings them back.
double expm1(double x) {
  final u = exp(x);
  if (x.abs() > 0.5) return u - 1.0;
  if (u == 1.0) return x;
  return (u - 1.0) * (x / log(u));
}

/// The hyperbolic tangent.
double tanh(double x) {
  // With t = e^(-2|x|) - 1, which never overflows, tanh |x| is -t / (2 + t).
  final t = expm1(-2.0 * x.abs());
  final size = -t / (2.0 + t);
  return x < 0.0 ? -size : size;
}

/// The complementary error function: 1 - erf(x), also where erf(x) is so near to 1 that nothing would be left.
double erfc(double x) {
  if (x < 0.0) return 2.0 - erfc(-x);
  if (x > 28.0) return 0.0; // smaller than the smallest number
  return x < 1.0 ? 1.0 - _erfBySeries(x) : _erfcByFraction(x);
}

/// erf(x) = 2/sqrt(pi) (x - x^3 / (3 1!) + x^5 / (5 2!) - x^7 / (7 3!) + ...), from the smallest term to the largest.
double _erfBySeries(double x) {
  const twoBySqrtPiLess1 = 0.12837916709551257390; // 2/sqrt(pi) - 1: more digits fit without the 1
  final square = x * x;
  var rest = 0.0;
  for (var n = 20; n >= 1; n--) {
    rest = -square / n * (1.0 / (2 * n + 1) + rest);
  }
  return x + x * (twoBySqrtPiLess1 + (1.0 + twoBySqrtPiLess1) * rest);
}

/// erfc(x) = e^(-x^2) / sqrt(pi) / (x + (1/2) / (x + (2/2) / (x + (3/2) / (x + ...)))), from the inside out.
double _erfcByFraction(double x) {
  var fraction = x;
  for (var k = 200; k >= 1; k--) {
    fraction = x + 0.5 * k / fraction;
  }
  // x^2 = head^2 + (x - head) (x + head): with so few digits head^2 is exact, and so e^(-x^2) stays precise.
  final head = (x * 1024.0).floorToDouble() / 1024.0;
  return exp(-head * head) * exp(-(x - head) * (x + head)) / sqrt(pi) / fraction;
}
