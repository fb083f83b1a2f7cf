// What Go's mathematics does not have.
package main

import "math"

// addUp is the sum, from left to right.
func addUp(numbers Numbers) float64 {
	total := 0.0
	for _, number := range numbers {
		total += number
	}
	return total
}

func largestOf(numbers Numbers) float64 {
	most := math.Inf(-1)
	for _, number := range numbers {
		most = math.Max(most, number)
	}
	return most
}

func oneIf(condition bool) float64 {
	if condition {
		return 1.0
	}
	return 0.0
}

// sign is 1, -1, or 0 at the kink of |x|, where there is no slope.
func sign(x float64) float64 {
	switch {
	case x > 0.0:
		return 1.0
	case x < 0.0:
		return -1.0
	}
	return 0.0
}

// timesLog is t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
func timesLog(t, p float64) float64 {
	if t == 0.0 {
		return 0.0
	}
	return t * math.Log(p)
}

// divide is t / p, the derivative of t ln p with regard to p.
func divide(t, p float64) float64 {
	if t == 0.0 {
		return 0.0
	}
	return t / p
}
