#include "mathematics.h"

#include <math.h>

double add_up(const double *numbers, size_t count) {
    double total = 0.0;
    for (size_t i = 0; i < count; i++) total += numbers[i];
    return total;
}

double largest_of(const double *numbers, size_t count) {
    double largest = numbers[0];
    for (size_t i = 1; i < count; i++) largest = fmax(largest, numbers[i]);
    return largest;
}

double sign(double x) { return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0; }

double times_log(double t, double p) { return t == 0.0 ? 0.0 : t * log(p); }

double divide(double t, double p) { return t == 0.0 ? 0.0 : t / p; }
