//! Activations: what a layer makes of its pre-activations z, and the way back.
//!
//! `a` is a neuron's activation, and `delta` is dL/dz, the slope of the loss L with regard to z.

use std::f64::consts::{PI, SQRT_2};

use crate::mathematics::{erfc, largest_of};

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
    /// A function of one neuron's z. Most activations are of this kind.
    Neuron(NeuronActivation),
    /// e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1.
    Softmax,
    /// The natural logarithm of softmax, without ever taking the logarithm of a 0.
    LogSoftmax,
}

/// A function of one neuron's z, and its derivative.
pub enum NeuronActivation {
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

impl NeuronActivation {
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
            Self::Gelu => z * normal_probability(z),
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
            Self::Gelu => normal_probability(z) + z * normal_density(z),
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
    /// The activation of that name, one of ACTIVATIONS. Only two have the parameter alpha.
    pub fn named(name: &str, alpha: Option<f64>) -> Activation {
        Activation::Neuron(match name {
            "identity" => NeuronActivation::Identity,
            "sigmoid" => NeuronActivation::Sigmoid,
            "tanh" => NeuronActivation::Tanh,
            "relu" => NeuronActivation::Relu,
            "leaky_relu" => NeuronActivation::LeakyRelu { alpha: alpha.unwrap_or(0.01) },
            "elu" => NeuronActivation::Elu { alpha: alpha.unwrap_or(1.0) },
            "softplus" => NeuronActivation::Softplus,
            "softsign" => NeuronActivation::Softsign,
            "silu" => NeuronActivation::Silu,
            "gelu" => NeuronActivation::Gelu,
            "hard_tanh" => NeuronActivation::HardTanh,
            "softmax" => return Activation::Softmax,
            "log_softmax" => return Activation::LogSoftmax,
            _ => unreachable!("no activation is called {name}"),
        })
    }

    /// a, the activations of a layer.
    pub fn activate(&self, z: &[f64]) -> Vec<f64> {
        match self {
            Self::Neuron(function) => z.iter().map(|zj| function.value(*zj)).collect(),
            Self::Softmax => softmax(z),
            Self::LogSoftmax => log_softmax(z),
        }
    }

    /// dL/dz of a layer, from its dL/da.
    pub fn deltas(&self, z: &[f64], a: &[f64], activation_gradients: &[f64]) -> Vec<f64> {
        match self {
            // The chain rule: dL/dz = dL/da * da/dz.
            Self::Neuron(function) => {
                (0..z.len()).map(|j| activation_gradients[j] * function.derivative(z[j], a[j])).collect()
            }
            Self::Softmax => {
                // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
                // Summed over all j that is a_k * (dL/da_k - average), where
                let average: f64 = (0..a.len()).map(|j| activation_gradients[j] * a[j]).sum();
                (0..a.len()).map(|k| a[k] * (activation_gradients[k] - average)).collect()
            }
            Self::LogSoftmax => {
                // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
                let total: f64 = activation_gradients.iter().sum();
                (0..a.len()).map(|k| activation_gradients[k] - a[k].exp() * total).collect()
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
pub fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z.
fn normal_probability(z: f64) -> f64 {
    0.5 * erfc(-z / SQRT_2)
}

/// dP/dz, the bell curve.
fn normal_density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * PI).sqrt()
}

fn softmax(z: &[f64]) -> Vec<f64> {
    // Taking the largest z off all of them changes no quotient, and no power can overflow.
    let largest = largest_of(z);
    let powers: Vec<f64> = z.iter().map(|zj| (zj - largest).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|power| power / total).collect()
}

/// The natural logarithm of softmax.
pub fn log_softmax(z: &[f64]) -> Vec<f64> {
    let largest = largest_of(z);
    let total: f64 = z.iter().map(|zj| (zj - largest).exp()).sum();
    z.iter().map(|zj| zj - largest - total.ln()).collect()
}
