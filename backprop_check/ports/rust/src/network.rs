//! A neural network of dense layers and its backpropagation, neuron by neuron, in plain Rust.
//!
//! Read it from top to bottom:
//!
//! 1. Neuron     weights and a bias: the pre-activation forward, the gradients backward, the update
//! 2. Layer      neurons that read the same inputs
//! 3. Network    layers one after the other: forward, backward, update
//!
//! The names are the field's: `z` is a neuron's pre-activation (the weighted sum of its inputs plus its bias), `a` its
//! activation, and `delta` is dL/dz, the slope of the loss L with regard to z. Every other slope of L is a gradient:
//! dL/dw of a weight, dL/dx of an input, dL/da of an activation. There are no matrices, only lists of numbers.

use crate::activations::Activation;
use crate::losses::{Loss, OneStep};

// ------------------------------------------------------------------------------------------------
// 1. Neuron
// ------------------------------------------------------------------------------------------------

/// One neuron: a weight for each of its inputs, and a bias.
pub struct Neuron {
    pub weights: Vec<f64>,
    pub bias: f64,
    pub weight_gradients: Vec<f64>,
    pub bias_gradient: f64,
}

impl Neuron {
    pub fn new(weights: Vec<f64>, bias: f64) -> Self {
        let weight_gradients = vec![0.0; weights.len()];
        Neuron { weights, bias, weight_gradients, bias_gradient: 0.0 }
    }

    /// Starts the sums over the samples at 0.
    fn reset_gradients(&mut self) {
        self.weight_gradients.fill(0.0);
        self.bias_gradient = 0.0;
    }

    /// Forward: z, every input times its weight, plus the bias.
    fn pre_activation(&self, inputs: &[f64]) -> f64 {
        let mut z = self.bias;
        for (weight, x) in self.weights.iter().zip(inputs) {
            z += weight * x;
        }
        z
    }

    /// Backward: adds one sample's part to the gradients.
    ///
    /// A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
    fn add_gradients(&mut self, delta: f64, inputs: &[f64]) {
        // EXERCISE BEGIN gradients
        for (gradient, x) in self.weight_gradients.iter_mut().zip(inputs) {
            *gradient += delta * x;
        }
        self.bias_gradient += delta;
        // EXERCISE END gradients
    }

    /// Takes one step down the slope.
    fn update(&mut self, learning_rate: f64) {
        // EXERCISE BEGIN update
        for (weight, gradient) in self.weights.iter_mut().zip(&self.weight_gradients) {
            *weight -= learning_rate * gradient;
        }
        self.bias -= learning_rate * self.bias_gradient;
        // EXERCISE END update
    }
}

// ------------------------------------------------------------------------------------------------
// 2. Layer
// ------------------------------------------------------------------------------------------------

/// Neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a.
pub struct Layer {
    pub neurons: Vec<Neuron>,
    activation: Activation,
    inputs: Vec<f64>,
    pub z: Vec<f64>,
    pub a: Vec<f64>,
    pub delta: Vec<f64>,
}

impl Layer {
    pub fn new(neurons: Vec<Neuron>, activation: Activation) -> Self {
        Layer { neurons, activation, inputs: vec![], z: vec![], a: vec![], delta: vec![] }
    }

    /// The activations of all neurons for one sample.
    fn forward(&mut self, inputs: &[f64]) -> &[f64] {
        self.inputs = inputs.to_vec();
        self.z = self.neurons.iter().map(|neuron| neuron.pre_activation(inputs)).collect();
        self.a = self.activation.activate(&self.z);
        &self.a
    }

    /// delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation.
    fn hidden_deltas(&self, activation_gradients: &[f64]) -> Vec<f64> {
        // EXERCISE BEGIN hidden delta: vec![0.0; activation_gradients.len()]
        self.activation.deltas(&self.z, &self.a, activation_gradients)
        // EXERCISE END hidden delta
    }

    /// Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x.
    fn backward(&mut self, delta: Vec<f64>) -> Vec<f64> {
        self.delta = delta;
        for (neuron, delta) in self.neurons.iter_mut().zip(&self.delta) {
            neuron.add_gradients(*delta, &self.inputs);
        }
        self.input_gradients()
    }

    /// dL/dx of every input x, which is dL/da of the layer before.
    ///
    /// Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
    /// dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
    fn input_gradients(&self) -> Vec<f64> {
        // EXERCISE BEGIN hidden delta: vec![0.0; self.inputs.len()]
        let mut gradients = vec![0.0; self.inputs.len()];
        for (neuron, delta) in self.neurons.iter().zip(&self.delta) {
            for (gradient, weight) in gradients.iter_mut().zip(&neuron.weights) {
                *gradient += delta * weight;
            }
        }
        gradients
        // EXERCISE END hidden delta
    }
}

// ------------------------------------------------------------------------------------------------
// 3. Network
// ------------------------------------------------------------------------------------------------

/// Layers, each reading the activations of the one before.
pub struct Network {
    pub layers: Vec<Layer>,
    pub loss: Loss,
    /// The output's activation and loss in one, where there is such a thing.
    pub one_step: Option<OneStep>,
}

impl Network {
    fn output(&self) -> &Layer {
        self.layers.last().expect("a network has layers")
    }

    /// Sends one sample through the network.
    pub fn forward(&mut self, inputs: &[f64]) {
        let mut a = inputs;
        for layer in &mut self.layers {
            a = layer.forward(a);
        }
    }

    /// The loss of the sample that went forward last.
    pub fn sample_loss(&self, targets: &[f64]) -> f64 {
        match &self.one_step {
            Some(step) => step.of_sample(&self.output().z, targets),
            None => self.loss.of_sample(&self.output().a, targets),
        }
    }

    /// dL/dz of the output neurons, where backward begins.
    ///
    /// L is the loss of the whole batch, the mean of its samples' losses or their sum: `divisor` is their number, or 1.
    fn output_deltas(&self, targets: &[f64], divisor: f64) -> Vec<f64> {
        // EXERCISE BEGIN output delta: vec![0.0; targets.len()]
        let output = self.output();
        let deltas = match &self.one_step {
            Some(step) => step.deltas(&output.a, targets),
            None => {
                let gradients = self.loss.activation_gradients(&output.a, targets);
                output.activation.deltas(&output.z, &output.a, &gradients)
            }
        };
        deltas.iter().map(|delta| delta / divisor).collect()
        // EXERCISE END output delta
    }

    /// Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
    pub fn backward(&mut self, targets: &[f64], divisor: f64) -> Vec<f64> {
        let deltas = self.output_deltas(targets, divisor);
        let last = self.layers.len() - 1;
        let mut gradients = self.layers[last].backward(deltas);
        for layer in self.layers[..last].iter_mut().rev() {
            // The inputs of the layer after are the activations of this one, and so are their gradients.
            let deltas = layer.hidden_deltas(&gradients);
            gradients = layer.backward(deltas);
        }
        gradients
    }

    pub fn reset_gradients(&mut self) {
        for neuron in self.layers.iter_mut().flat_map(|layer| &mut layer.neurons) {
            neuron.reset_gradients();
        }
    }

    /// Takes one step down the slope, once all gradients are there.
    pub fn update(&mut self, learning_rate: f64) {
        for neuron in self.layers.iter_mut().flat_map(|layer| &mut layer.neurons) {
            neuron.update(learning_rate);
        }
    }
}
