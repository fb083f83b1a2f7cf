# frozen_string_literal: true

# What Ruby's Math does not have, or does otherwise than the formulas of a network ask for.

# ln(1 + x). For a small x, 1 + x is rounded; the factor x / (what is left of x) undoes that.
def log1p(x)
  u = 1.0 + x
  return x if u == 1.0

  x > 1.0 ? Math.log(u) : Math.log(u) * (x / (u - 1.0))
end

# e^x - 1. For a small x the subtraction loses digits; the factor x / ln(e^x) brings them back.
def expm1(x)
  u = Math.exp(x)
  return u - 1.0 if x.abs > 0.5

  u == 1.0 ? x : (u - 1.0) * (x / Math.log(u))
end

# From left to right. (Array#sum corrects its rounding errors on the way: no mistake, but not what a loop does.)
def add_up(numbers)
  numbers.inject(0.0) { |total, number| total + number }
end

# (Array#max raises where a number is NaN.)
def largest_of(numbers)
  numbers.inject { |largest, number| number > largest ? number : largest }
end

# 1, -1, or 0 at the kink of |x|, where there is no slope.
def sign(x) = (x <=> 0.0).to_f

# t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
def times_log(t, p)
  return 0.0 if t.zero?

  p.negative? ? Float::NAN : t * Math.log(p)
end

# t / p, the derivative of t ln p with regard to p.
def divide(t, p) = t.zero? ? 0.0 : t / p
