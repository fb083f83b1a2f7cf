<?php

declare(strict_types=1);

/*
 * What PHP's mathematics does not have, or does otherwise than the formulas of a network ask for. erfc is precise to a
 * few units in the last digit.
 */

/** 1 - erf(x), also where erf(x) is so near to 1 that nothing would be left. */
function erfc(float $x): float
{
    if (is_nan($x)) {
        return $x;
    }
    if ($x < 0.0) {
        return 2.0 - erfc(-$x);
    }
    if ($x > 28.0) {
        return 0.0; // smaller than the smallest number
    }
    return $x < 0.5 ? erfc_by_series($x) : erfc_by_fraction($x);
}

/** erfc(x) = 1 - 2/sqrt(pi) (x - x^3 / (3 1!) + x^5 / (5 2!) - x^7 / (7 3!) + ...), from the smallest term on. */
function erfc_by_series(float $x): float
{
    $two_by_sqrt_pi_less_1 = 0.12837916709551257390; // 2/sqrt(pi) - 1: more digits fit without the 1
    $square = $x * $x;
    $rest = 0.0;
    for ($n = 20; $n >= 1; $n--) {
        $rest = -$square / $n * (1.0 / (2 * $n + 1) + $rest);
    }
    return (1.0 - $x) - $x * ($two_by_sqrt_pi_less_1 + (1.0 + $two_by_sqrt_pi_less_1) * $rest);
}

/** erfc(x) = e^(-x^2) / sqrt(pi) / (x + (1/2) / (x + (2/2) / (x + (3/2) / (x + ...)))), from the inside out. */
function erfc_by_fraction(float $x): float
{
    $fraction = $x;
    for ($k = 20 + (int) (200.0 / ($x * $x)); $k >= 1; $k--) { // the smaller x, the more terms it takes
        $fraction = $x + 0.5 * $k / $fraction;
    }
    // x^2 = head^2 + (x - head) (x + head): with so few digits head^2 is exact, and so e^(-x^2) stays precise.
    $head = floor($x * 1024.0) / 1024.0;
    return exp(-$head * $head) * exp(-($x - $head) * ($x + $head)) / sqrt(M_PI) / $fraction;
}

/** 1, -1, or 0 at the kink of |x|, where there is no slope. */
function sign(float $x): float
{
    return (float) ($x <=> 0.0);
}

/** t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity. */
function times_log(float $t, float $p): float
{
    return $t === 0.0 || $t === -0.0 ? 0.0 : $t * log($p);
}

/** t / p, the derivative of t ln p with regard to p. (PHP's / throws where p is 0; fdiv gives infinity.) */
function divide(float $t, float $p): float
{
    return $t === 0.0 || $t === -0.0 ? 0.0 : fdiv($t, $p);
}
