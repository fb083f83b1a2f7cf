// What C++'s mathematics does not have.
#pragma once

#include <vector>

using Numbers = std::vector<double>;

// The sum, from left to right.
double add_up(const Numbers& numbers);

double largest_of(const Numbers& numbers);

// 1, -1, or 0 at the kink of |x|, where there is no slope.
double sign(double x);

// t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
double times_log(double t, double p);

// t / p, the derivative of t ln p with regard to p.
double divide(double t, double p);
