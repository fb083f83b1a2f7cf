//! What `f64` does not have.
//!
//! Method and coefficients of erfc: s_erf.c of FDLIBM, Copyright (C) 1993 by Sun Microsystems, Inc. Permission to use,
//! copy, modify, and distribute it is freely granted, provided that this notice is preserved.

pub fn largest_of(numbers: &[f64]) -> f64 {
    numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// 1, -1, or 0 at the kink of |x|, where there is no slope. (`signum` has no 0.)
pub fn sign(x: f64) -> f64 {
    if x == 0.0 {
        0.0
    } else {
        x.signum()
    }
}

/// t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
pub fn times_log(t: f64, p: f64) -> f64 {
    if t == 0.0 {
        0.0
    } else {
        t * p.ln()
    }
}

/// t / p, the derivative of t ln p with regard to p.
pub fn divide(t: f64, p: f64) -> f64 {
    if t == 0.0 {
        0.0
    } else {
        t / p
    }
}

/// 1 - erf(x), to the last digit or two, also where erf(x) is so near to 1 that the minus would leave nothing.
///
/// Nobody knows a short formula for it. Each part of the x-axis has its quotient of two polynomials, fitted to it.
pub fn erfc(x: f64) -> f64 {
    let size = x.abs();
    if size < 0.84375 {
        let y = SMALL.at(x * x);
        return if x < 0.25 { 1.0 - (x + x * y) } else { 0.5 - (x - 0.5 + x * y) };
    }
    if size < 1.25 {
        let y = MIDDLE.at(size - 1.0);
        return if x < 0.0 { 1.0 + (ERF_OF_1 + y) } else { 1.0 - ERF_OF_1 - y };
    }
    if size > 28.0 {
        return if x < 0.0 { 2.0 } else { 0.0 }; // nearer than the smallest number
    }

    let fit = if size < 1.0 / 0.35 { LARGE } else { TAIL }.at(1.0 / (size * size));
    // x^2 = head^2 + (x - head) (x + head): with so few digits head^2 is exact, and so e^(-x^2) stays precise.
    let head = (size * 1024.0).floor() / 1024.0;
    let tail = (-head * head - 0.5625).exp() * ((head - size) * (head + size) + fit).exp() / size;
    if x < 0.0 {
        2.0 - tail
    } else {
        tail
    }
}

/// A quotient of two polynomials, given by their coefficients.
struct Fit {
    top: &'static [f64],
    bottom: &'static [f64],
}

impl Fit {
    fn at(&self, x: f64) -> f64 {
        polynomial(x, self.top) / polynomial(x, self.bottom)
    }
}

/// c[0] + c[1] x + c[2] x^2 + ..., from the last coefficient to the first.
fn polynomial(x: f64, coefficients: &[f64]) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

const ERF_OF_1: f64 = 0.8450629115104675; // roughly, with few binary digits

const SMALL: Fit = Fit {
    top: &[
        0.12837916709551256,
        -0.3250421072470015,
        -0.02848174957559851,
        -0.005770270296489442,
        -2.3763016656650163e-05,
    ],
    bottom: &[
        1.0,
        0.39791722395915535,
        0.0650222499887673,
        0.005081306281875766,
        0.00013249473800432164,
        -3.960228278775368e-06,
    ],
};

const MIDDLE: Fit = Fit {
    top: &[
        -0.0023621185607526594,
        0.41485611868374833,
        -0.3722078760357013,
        0.31834661990116175,
        -0.11089469428239668,
        0.035478304325618236,
        -0.002166375594868791,
    ],
    bottom: &[
        1.0,
        0.10642088040084423,
        0.540397917702171,
        0.07182865441419627,
        0.12617121980876164,
        0.01363708391202905,
        0.011984499846799107,
    ],
};

const LARGE: Fit = Fit {
    top: &[
        -0.009864944034847148,
        -0.6938585727071818,
        -10.558626225323291,
        -62.375332450326006,
        -162.39666946257347,
        -184.60509290671104,
        -81.2874355063066,
        -9.814329344169145,
    ],
    bottom: &[
        1.0,
        19.651271667439257,
        137.65775414351904,
        434.56587747522923,
        645.3872717332679,
        429.00814002756783,
        108.63500554177944,
        6.570249770319282,
        -0.0604244152148581,
    ],
};

const TAIL: Fit = Fit {
    top: &[
        -0.0098649429247001,
        -0.799283237680523,
        -17.757954917754752,
        -160.63638485582192,
        -637.5664433683896,
        -1025.0951316110772,
        -483.5191916086514,
    ],
    bottom: &[
        1.0,
        30.33806074348246,
        325.7925129965739,
        1536.729586084437,
        3199.8582195085955,
        2553.0504064331644,
        474.52854120695537,
        -22.44095244658582,
    ],
};
