// What Math does not have. Log1p, Expm1 and Erfc are precise to the last digit or two.

using System;

static class Mathematics
{
    /// <summary>1, -1, or 0 at the kink of |x|. (Math.Sign throws for NaN.)</summary>
    public static double Sign(double x) => x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x;

    /// <summary>
    /// t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
    /// </summary>
    public static double TimesLog(double t, double p) => t == 0.0 ? 0.0 : t * Math.Log(p);

    /// <summary>t / p, the derivative of t ln p with regard to p.</summary>
    public static double Divide(double t, double p) => t == 0.0 ? 0.0 : t / p;

    /// <summary>ln(1 + x). For a small x, 1 + x is rounded; the factor x / (what is left of x) undoes that.</summary>
    public static double Log1p(double x)
    {
        var u = 1.0 + x;
        if (u == 1.0) return x;
        return x > 1.0 ? Math.Log(u) : Math.Log(u) * (x / (u - 1.0));
    }

    /// <summary>e^x - 1. For a small x the subtraction loses digits; the factor x / ln(e^x) brings them back.</summary>
    public static double Expm1(double x)
    {
        var u = Math.Exp(x);
        if (Math.Abs(x) > 0.5) return u - 1.0;
        return u == 1.0 ? x : (u - 1.0) * (x / Math.Log(u));
    }

    /// <summary>
    /// The complementary error function, 1 - erf(x), also where erf(x) is so near to 1 that the minus would leave
    /// nothing.
    ///
    /// Nobody knows a short formula for it. Each part of the x-axis has its quotient of two polynomials, fitted to it.
    /// Method and coefficients: s_erf.c of FDLIBM, Copyright (C) 1993 by Sun Microsystems, Inc. Permission to use,
    /// copy, modify, and distribute it is freely granted, provided that this notice is preserved.
    /// </summary>
    public static double Erfc(double x)
    {
        var size = Math.Abs(x);
        if (size < 0.84375)
        {
            var y = Small.At(x * x);
            return x < 0.25 ? 1.0 - (x + x * y) : 0.5 - (x - 0.5 + x * y);
        }
        if (size < 1.25)
        {
            var y = Middle.At(size - 1.0);
            return x < 0.0 ? 1.0 + (ErfOf1 + y) : 1.0 - ErfOf1 - y;
        }
        if (size > 28.0) return x < 0.0 ? 2.0 : 0.0; // nearer than the smallest number

        var fit = (size < 1.0 / 0.35 ? Large : Tail).At(1.0 / (size * size));
        // x^2 = head^2 + (x - head) (x + head): with so few digits head^2 is exact, and so e^(-x^2) stays precise.
        var head = Math.Floor(size * 1024.0) / 1024.0;
        var tail = Math.Exp(-head * head - 0.5625) * Math.Exp((head - size) * (head + size) + fit) / size;
        return x < 0.0 ? 2.0 - tail : tail;
    }

    /// <summary>A quotient of two polynomials, given by their coefficients.</summary>
    sealed class Fit
    {
        readonly double[] top;
        readonly double[] bottom;

        public Fit(double[] top, double[] bottom)
        {
            this.top = top;
            this.bottom = bottom;
        }

        public double At(double x) => Polynomial(x, top) / Polynomial(x, bottom);

        /// <summary>c[0] + c[1] x + c[2] x^2 + ..., from the last coefficient to the first.</summary>
        static double Polynomial(double x, double[] coefficients)
        {
            var sum = 0.0;
            for (var i = coefficients.Length - 1; i >= 0; i--)
            {
                sum = sum * x + coefficients[i];
            }
            return sum;
        }
    }

    const double ErfOf1 = 0.8450629115104675; // roughly, with few binary digits

    static readonly Fit Small = new Fit(
        top: new[]
        {
            0.12837916709551256, -0.3250421072470015, -0.02848174957559851, -0.005770270296489442,
            -2.3763016656650163e-05,
        },
        bottom: new[]
        {
            1.0, 0.39791722395915535, 0.0650222499887673, 0.005081306281875766,
            0.00013249473800432164, -3.960228278775368e-06,
        });

    static readonly Fit Middle = new Fit(
        top: new[]
        {
            -0.0023621185607526594, 0.41485611868374833, -0.3722078760357013, 0.31834661990116175,
            -0.11089469428239668, 0.035478304325618236, -0.002166375594868791,
        },
        bottom: new[]
        {
            1.0, 0.10642088040084423, 0.540397917702171, 0.07182865441419627, 0.12617121980876164,
            0.01363708391202905, 0.011984499846799107,
        });

    static readonly Fit Large = new Fit(
        top: new[]
        {
            -0.009864944034847148, -0.6938585727071818, -10.558626225323291, -62.375332450326006,
            -162.39666946257347, -184.60509290671104, -81.2874355063066, -9.814329344169145,
        },
        bottom: new[]
        {
            1.0, 19.651271667439257, 137.65775414351904, 434.56587747522923, 645.3872717332679,
            429.00814002756783, 108.63500554177944, 6.570249770319282, -0.0604244152148581,
        });

    static readonly Fit Tail = new Fit(
        top: new[]
        {
            -0.0098649429247001, -0.799283237680523, -17.757954917754752, -160.63638485582192,
            -637.5664433683896, -1025.0951316110772, -483.5191916086514,
        },
        bottom: new[]
        {
            1.0, 30.33806074348246, 325.7925129965739, 1536.729586084437, 3199.8582195085955,
            2553.0504064331644, 474.52854120695537, -22.44095244658582,
        });
}
