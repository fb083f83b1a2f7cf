#include "mathematics.hpp"

#include <algorithm>
#include <cmath>

double add_up(const Numbers& numbers) {
  double total = 0.0;
  for (const double number : numbers) total += number;
  return total;
}

double largest_of(const Numbers& numbers) { return *std::max_element(numbers.begin(), numbers.end()); }

double sign(double x) { return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0; }

double times_log(double t, double p) { return t == 0.0 ? 0.0 : t * std::log(p); }

double divide(double t, double p) { return t == 0.0 ? 0.0 : t / p; }
