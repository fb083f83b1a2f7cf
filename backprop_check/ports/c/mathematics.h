// What C's mathematics does not have.
#ifndef MATHEMATICS_H
#define MATHEMATICS_H

#include <stddef.h>

// Gives the sum, from left to right.
double add_up(const double *numbers, size_t count);

double largest_of(const double *numbers, size_t count);

// Gives 1, -1, or 0 at the kink of |x|, where there is no slope.
double sign(double x);

// Gives t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
double times_log(double t, double p);

// Gives t / p, the derivative of t ln p with regard to p.
double divide(double t, double p);

#endif
