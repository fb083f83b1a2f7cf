# What Julia's Base does not have, or does otherwise than the formulas of a network ask for. erfc is precise to a few
# units in the last digit. (The package SpecialFunctions has one too. This port needs no package.)

const Numbers = Vector{Float64}

"The sum, from left to right. (Base's `sum` adds in another order: no mistake, but not what a loop does.)"
add_up(numbers) = foldl(+, numbers; init = 0.0)

"t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity."
times_log(t, p) = t == 0.0 ? 0.0 : p < 0.0 ? NaN : t * log(p)

"t / p, the derivative of t ln p with regard to p."
divide(t, p) = t == 0.0 ? 0.0 : t / p

"1 - erf(x), also where erf(x) is so near to 1 that nothing would be left."
function erfc(x::Float64)
    isnan(x) && return x
    x < 0.0 && return 2.0 - erfc(-x)
    x > 28.0 && return 0.0 # smaller than the smallest number
    return x < 0.5 ? erfc_by_series(x) : erfc_by_fraction(x)
end

"erfc(x) = 1 - 2/sqrt(pi) (x - x^3 / (3 1!) + x^5 / (5 2!) - x^7 / (7 3!) + ...), from the smallest term on."
function erfc_by_series(x::Float64)
    two_by_sqrt_pi_less_1 = 0.12837916709551257390 # 2/sqrt(pi) - 1: more digits fit without the 1
    square = x * x
    rest = 0.0
    for n in 20:-1:1
        rest = -square / n * (1.0 / (2n + 1) + rest)
    end
    return (1.0 - x) - x * (two_by_sqrt_pi_less_1 + (1.0 + two_by_sqrt_pi_less_1) * rest)
end

"erfc(x) = e^(-x^2) / sqrt(pi) / (x + (1/2) / (x + (2/2) / (x + (3/2) / (x + ...)))), from the inside out."
function erfc_by_fraction(x::Float64)
    fraction = x
    for k in 20+floor(Int, 200.0 / x^2):-1:1 # the smaller x, the more terms it takes
        fraction = x + 0.5k / fraction
    end
    # x^2 = head^2 + (x - head) (x + head): with so few digits head^2 is exact, and so e^(-x^2) stays precise.
    head = floor(x * 1024.0) / 1024.0
    return exp(-head * head) * exp(-(x - head) * (x + head)) / sqrt(pi) / fraction
end
