//! Activations and losses, each with its derivative.
//!
//! The names are the field's: `z` is a neuron's weighted sum plus its bias, `a` its activation, `t` a target.

use std::f64::consts::{PI, SQRT_2};

use crate::mathematics::erfc;

// ------------------------------------------------------------------------------------------------
// Activations
// ------------------------------------------------------------------------------------------------

pub const ACTIVATIONS: [&str; 13] = [
    "identity",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "softplus",
    "softsign",
    "silu",
    "gelu",
    "hard_tanh",
    "softmax",
    "log_softmax",
];

/// What a layer makes of its z, and the way back.
pub enum Activation {
    /// Every neuron is on its own.
    OfOneNeuron(OfOneNeuron),
    /// e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1.
    Softmax,
    /// The natural logarithm of softmax, without ever taking the logarithm of a 0.
    LogSoftmax,
}

pub enum OfOneNeuron {
    /// No activation: a = z.
    Identity,
    /// 1 / (1 + e^-z): any number squeezed into 0..1.
    Sigmoid,
    /// The hyperbolic tangent: any number squeezed into -1..1.
    Tanh,
    /// z where it is positive, else 0.
    Relu,
    /// Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead.
    LeakyRelu { alpha: f64 },
    /// Like ReLU, but bending smoothly to -alpha on the negative side.
    Elu { alpha: f64 },
    /// ln(1 + e^z): a smooth ReLU.
    Softplus,
    /// z / (1 + |z|): like tanh, but slower to reach -1 and 1.
    Softsign,
    /// z * sigmoid(z), also called swish.
    Silu,
    /// z * P(z), where P(z) is the probability that a standard normal number is below z.
    Gelu,
    /// z, cut off at -1 and 1.
    HardTanh,
}

impl OfOneNeuron {
    /// a, the activation.
    fn value(&self, z: f64) -> f64 {
        match *self {
            Self::Identity => z,
            Self::Sigmoid => sigmoid(z),
            Self::Tanh => z.tanh(),
            Self::Relu => z.max(0.0),
            Self::LeakyRelu { alpha } => {
                if z > 0.0 {
                    z
                } else {
                    alpha * z
                }
            }
            // exp_m1 is e^z - 1, without the digits that the subtraction loses near z = 0.
            Self::Elu { alpha } => {
                if z > 0.0 {
                    z
                } else {
                    alpha * z.exp_m1()
                }
            }
            Self::Softplus => softplus(z),
            Self::Softsign => z / (1.0 + z.abs()),
            Self::Silu => z * sigmoid(z),
            Self::Gelu => z * probability_below(z),
            Self::HardTanh => z.clamp(-1.0, 1.0),
        }
    }

    /// da/dz. Both z and a are at hand: some derivatives are simpler in one, some in the other.
    fn derivative(&self, z: f64, a: f64) -> f64 {
        match *self {
            Self::Identity => 1.0,
            Self::Sigmoid => a * (1.0 - a),
            Self::Tanh => 1.0 - a * a,
            // At z = 0 there is a kink and no slope. 0 is the usual convention.
            Self::Relu => {
                if z > 0.0 {
                    1.0
                } else {
                    0.0
                }
            }
            Self::LeakyRelu { alpha } => {
                if z > 0.0 {
                    1.0
                } else {
                    alpha
                }
            }
            Self::Elu { alpha } => {
                if z > 0.0 {
                    1.0
                } else {
                    alpha * z.exp()
                }
            }
            Self::Softplus => sigmoid(z),
            Self::Softsign => 1.0 / ((1.0 + z.abs()) * (1.0 + z.abs())),
            // These two are the product rule.
            Self::Silu => sigmoid(z) + z * sigmoid(z) * (1.0 - sigmoid(z)),
            Self::Gelu => probability_below(z) + z * bell_curve(z),
            Self::HardTanh => {
                if -1.0 < z && z < 1.0 {
                    1.0
                } else {
                    0.0
                }
            }
        }
    }
}

impl Activation {
    /// The activation of that name. Only two have the parameter alpha.
    pub fn named(name: &str, alpha: Option<f64>) -> Option<Activation> {
        Some(Activation::OfOneNeuron(match name {
            "identity" => OfOneNeuron::Identity,
            "sigmoid" => OfOneNeuron::Sigmoid,
            "tanh" => OfOneNeuron::Tanh,
            "relu" => OfOneNeuron::Relu,
            "leaky_relu" => OfOneNeuron::LeakyRelu { alpha: alpha.unwrap_or(0.01) },
            "elu" => OfOneNeuron::Elu { alpha: alpha.unwrap_or(1.0) },
            "softplus" => OfOneNeuron::Softplus,
            "softsign" => OfOneNeuron::Softsign,
            "silu" => OfOneNeuron::Silu,
            "gelu" => OfOneNeuron::Gelu,
            "hard_tanh" => OfOneNeuron::HardTanh,
            "softmax" => return Some(Activation::Softmax),
            "log_softmax" => return Some(Activation::LogSoftmax),
            _ => return None,
        }))
    }

    /// a, the activations.
    pub fn activate(&self, z: &[f64]) -> Vec<f64> {
        match self {
            Self::OfOneNeuron(function) => z.iter().map(|zj| function.value(*zj)).collect(),
            Self::Softmax => softmax(z),
            Self::LogSoftmax => log_softmax(z),
        }
    }

    /// dL/dz from dL/da.
    pub fn deltas(&self, z: &[f64], a: &[f64], dloss_da: &[f64]) -> Vec<f64> {
        match self {
            // The chain rule: dL/dz = dL/da * da/dz.
            Self::OfOneNeuron(function) => {
                (0..z.len()).map(|j| dloss_da[j] * function.derivative(z[j], a[j])).collect()
            }
            Self::Softmax => {
                // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
                // Summed over all j that is a_k * (dL/da_k - average), where
                let average: f64 = (0..a.len()).map(|j| dloss_da[j] * a[j]).sum();
                (0..a.len()).map(|k| a[k] * (dloss_da[k] - average)).collect()
            }
            Self::LogSoftmax => {
                // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
                let total: f64 = dloss_da.iter().sum();
                (0..a.len()).map(|k| dloss_da[k] - a[k].exp() * total).collect()
            }
        }
    }
}

fn sigmoid(z: f64) -> f64 {
    // e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
    if z >= 0.0 {
        return 1.0 / (1.0 + (-z).exp());
    }
    let power = z.exp();
    power / (1.0 + power)
}

/// The same as ln(1 + e^z), but e^z would overflow. x.ln_1p() is ln(1 + x), precise for a small x.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z.
fn probability_below(z: f64) -> f64 {
    0.5 * erfc(-z / SQRT_2)
}

/// dP/dz.
fn bell_curve(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * PI).sqrt()
}

fn softmax(z: &[f64]) -> Vec<f64> {
    // Taking the largest z off all of them changes no quotient, and no power can overflow.
    let largest = largest(z);
    let powers: Vec<f64> = z.iter().map(|zj| (zj - largest).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|power| power / total).collect()
}

fn log_softmax(z: &[f64]) -> Vec<f64> {
    let largest = largest(z);
    let total: f64 = z.iter().map(|zj| (zj - largest).exp()).sum();
    z.iter().map(|zj| zj - largest - total.ln()).collect()
}

fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

// ------------------------------------------------------------------------------------------------
// Losses
// ------------------------------------------------------------------------------------------------

pub const LOSSES: [&str; 9] = [
    "half_squared_error",
    "squared_error",
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "binary_cross_entropy",
    "cross_entropy",
    "negative_log_likelihood",
    "hinge",
];

/// How wrong the outputs of a sample are.
pub enum Loss {
    /// Half the square of the error a - t; the half is there to cancel the 2 of the derivative.
    HalfSquaredError,
    /// The square of the error.
    SquaredError,
    /// The square of the error, averaged over the outputs.
    MeanSquaredError,
    /// The size of the error, averaged over the outputs.
    MeanAbsoluteError,
    /// Half the square of a small error; a straight line from there on for a large one.
    Huber { threshold: f64 },
    /// -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1.
    BinaryCrossEntropy,
    /// -t ln a: how surprising t is, where the outputs a are the probabilities of the classes.
    CrossEntropy,
    /// -t a: cross-entropy where the output already is a logarithm (the activation log_softmax).
    NegativeLogLikelihood,
    /// max(0, 1 - t a), where t is -1 or 1: nothing to pay on the right side, from a margin of 1 on.
    Hinge,
}

impl Loss {
    /// The loss of that name. Only one has the parameter threshold.
    pub fn named(name: &str, threshold: Option<f64>) -> Option<Loss> {
        Some(match name {
            "half_squared_error" => Loss::HalfSquaredError,
            "squared_error" => Loss::SquaredError,
            "mean_squared_error" => Loss::MeanSquaredError,
            "mean_absolute_error" => Loss::MeanAbsoluteError,
            "huber" => Loss::Huber { threshold: threshold.unwrap_or(1.0) },
            "binary_cross_entropy" => Loss::BinaryCrossEntropy,
            "cross_entropy" => Loss::CrossEntropy,
            "negative_log_likelihood" => Loss::NegativeLogLikelihood,
            "hinge" => Loss::Hinge,
            _ => return None,
        })
    }

    /// One output's part of the loss.
    fn term(&self, a: f64, t: f64) -> f64 {
        match *self {
            Self::HalfSquaredError => 0.5 * (a - t) * (a - t),
            Self::SquaredError | Self::MeanSquaredError => (a - t) * (a - t),
            Self::MeanAbsoluteError => (a - t).abs(),
            Self::Huber { threshold } => {
                let size = (a - t).abs();
                if size <= threshold {
                    0.5 * size * size
                } else {
                    threshold * (size - 0.5 * threshold)
                }
            }
            Self::BinaryCrossEntropy => -(times_log(t, a) + times_log(1.0 - t, 1.0 - a)),
            Self::CrossEntropy => -times_log(t, a),
            Self::NegativeLogLikelihood => -t * a,
            Self::Hinge => (1.0 - t * a).max(0.0),
        }
    }

    /// The derivative of that part with regard to a.
    fn derivative(&self, a: f64, t: f64) -> f64 {
        match *self {
            Self::HalfSquaredError => a - t,
            Self::SquaredError | Self::MeanSquaredError => 2.0 * (a - t),
            Self::MeanAbsoluteError => sign(a - t),
            Self::Huber { threshold } => {
                if (a - t).abs() <= threshold {
                    a - t
                } else {
                    threshold * sign(a - t)
                }
            }
            Self::BinaryCrossEntropy => -(divide(t, a) - divide(1.0 - t, 1.0 - a)),
            Self::CrossEntropy => -divide(t, a),
            Self::NegativeLogLikelihood => -t,
            Self::Hinge => {
                if 1.0 - t * a > 0.0 {
                    -t
                } else {
                    0.0
                }
            }
        }
    }

    /// What the sum over the outputs is divided by.
    fn divisor(&self, outputs: usize) -> f64 {
        match self {
            Self::MeanSquaredError | Self::MeanAbsoluteError | Self::Huber { .. } => outputs as f64,
            _ => 1.0,
        }
    }

    /// The loss of one sample.
    pub fn of_sample(&self, a: &[f64], t: &[f64]) -> f64 {
        let total: f64 = (0..a.len()).map(|k| self.term(a[k], t[k])).sum();
        total / self.divisor(a.len())
    }

    /// dL/da of every output, where L is the loss of this one sample.
    pub fn dloss_da(&self, a: &[f64], t: &[f64]) -> Vec<f64> {
        (0..a.len()).map(|k| self.derivative(a[k], t[k]) / self.divisor(a.len())).collect()
    }
}

/// 1, -1, or 0 at the kink of |x|, where there is no slope. (`signum` has no 0.)
fn sign(x: f64) -> f64 {
    if x == 0.0 {
        0.0
    } else {
        x.signum()
    }
}

/// t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
fn times_log(t: f64, p: f64) -> f64 {
    if t == 0.0 {
        0.0
    } else {
        t * p.ln()
    }
}

/// t / p, the derivative of t ln p with regard to p.
fn divide(t: f64, p: f64) -> f64 {
    if t == 0.0 {
        0.0
    } else {
        t / p
    }
}

/// The output's activation and its loss in one step, from z to the loss and back.
///
/// Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer:
/// nothing is divided by a probability that was rounded to 0, and no logarithm is taken of it.
pub enum OneStep {
    /// With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z).
    SigmoidWithBinaryCrossEntropy,
    /// With a = softmax(z), ln a is log_softmax(z).
    SoftmaxWithCrossEntropy,
}

impl OneStep {
    /// The step of this pair, where it has one.
    pub fn named(activation: &str, loss: &str) -> Option<OneStep> {
        match (activation, loss) {
            ("sigmoid", "binary_cross_entropy") => Some(OneStep::SigmoidWithBinaryCrossEntropy),
            ("softmax", "cross_entropy") => Some(OneStep::SoftmaxWithCrossEntropy),
            _ => None,
        }
    }

    /// The loss of one sample.
    pub fn of_sample(&self, z: &[f64], t: &[f64]) -> f64 {
        match self {
            Self::SigmoidWithBinaryCrossEntropy => {
                (0..z.len()).map(|k| t[k] * softplus(-z[k]) + (1.0 - t[k]) * softplus(z[k])).sum()
            }
            Self::SoftmaxWithCrossEntropy => log_softmax(z).iter().zip(t).map(|(log_a, t_k)| -t_k * log_a).sum(),
        }
    }

    /// dL/dz of every output.
    pub fn deltas(&self, a: &[f64], t: &[f64]) -> Vec<f64> {
        match self {
            // dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
            Self::SigmoidWithBinaryCrossEntropy => (0..a.len()).map(|k| a[k] - t[k]).collect(),
            // Put dL/da = -t / a into the chain rule of softmax, and a * (sum of t) - t is left.
            Self::SoftmaxWithCrossEntropy => {
                let total: f64 = t.iter().sum(); // 1 for probabilities, and then this is the well-known a - t
                (0..a.len()).map(|k| a[k] * total - t[k]).collect()
            }
        }
    }
}
