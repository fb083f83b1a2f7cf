//! Losses: how wrong the outputs of a sample are, and the slope of that.

use crate::activations::{log_softmax, softplus};
use crate::mathematics::{divide, sign, times_log};

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

/// How wrong one output neuron is, and the derivative of that. A sample's loss sums up its outputs'.
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
    /// The loss of that name, one of LOSSES. Only one has the parameter threshold.
    pub fn named(name: &str, threshold: Option<f64>) -> Loss {
        match name {
            "half_squared_error" => Loss::HalfSquaredError,
            "squared_error" => Loss::SquaredError,
            "mean_squared_error" => Loss::MeanSquaredError,
            "mean_absolute_error" => Loss::MeanAbsoluteError,
            "huber" => Loss::Huber { threshold: threshold.unwrap_or(1.0) },
            "binary_cross_entropy" => Loss::BinaryCrossEntropy,
            "cross_entropy" => Loss::CrossEntropy,
            "negative_log_likelihood" => Loss::NegativeLogLikelihood,
            "hinge" => Loss::Hinge,
            _ => unreachable!("no loss is called {name}"),
        }
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
    pub fn activation_gradients(&self, a: &[f64], t: &[f64]) -> Vec<f64> {
        (0..a.len()).map(|k| self.derivative(a[k], t[k]) / self.divisor(a.len())).collect()
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
