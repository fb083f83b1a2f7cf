// What Swift's mathematics does not have.

import Foundation

typealias Numbers = [Double]

/// The sum, from left to right.
func addUp(_ numbers: Numbers) -> Double {
    numbers.reduce(0.0, +)
}

func largestOf(_ numbers: Numbers) -> Double {
    numbers.max() ?? 0.0
}

/// 1, -1, or 0 at the kink of |x|, where there is no slope.
func sign(_ x: Double) -> Double {
    x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0
}

/// t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
func timesLog(_ t: Double, _ p: Double) -> Double {
    t == 0.0 ? 0.0 : t * log(p)
}

/// t / p, the derivative of t ln p with regard to p.
func divide(_ t: Double, _ p: Double) -> Double {
    t == 0.0 ? 0.0 : t / p
}
