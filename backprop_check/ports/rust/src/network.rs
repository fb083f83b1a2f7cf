//! A neural network of dense layers and its backpropagation, neuron by neuron, in plain Rust.
//!
//! Read it from top to bottom:
//!
//! 1. Neuron     weights and a bias: the weighted sum forward, the gradients backward, the update
//! 2. Layer      neurons that read the same inputs
//! 3. Network    layers one after the other: forward, backward, update
//! 4. backprop   from a case of backprop-check to its reply
//!
//! The names are the field's: `z` is a neuron's weighted sum plus its bias, `a` its activation, and `delta` is dL/dz,
//! the slope of the loss L with regard to z. There are no matrices, only lists of numbers.

use crate::functions::{Activation, Loss, OneStep};
use crate::json::{object, Json};

// ------------------------------------------------------------------------------------------------
// 1. Neuron
// ------------------------------------------------------------------------------------------------

/// One neuron: a weight for each of its inputs, and a bias.
struct Neuron {
    weights: Vec<f64>,
    bias: f64,
    weight_gradients: Vec<f64>,
    bias_gradient: f64,
}

impl Neuron {
    fn new(weights: Vec<f64>, bias: f64) -> Self {
        let weight_gradients = vec![0.0; weights.len()];
        Neuron { weights, bias, weight_gradients, bias_gradient: 0.0 }
    }

    /// Starts the sums over the samples at 0.
    fn reset_gradients(&mut self) {
        self.weight_gradients.fill(0.0);
        self.bias_gradient = 0.0;
    }

    /// Forward: z, every input times its weight, plus the bias.
    fn weighted_sum(&self, inputs: &[f64]) -> f64 {
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
struct Layer {
    neurons: Vec<Neuron>,
    activation: Activation,
    inputs: Vec<f64>,
    z: Vec<f64>,
    a: Vec<f64>,
    delta: Vec<f64>,
}

impl Layer {
    fn new(neurons: Vec<Neuron>, activation: Activation) -> Self {
        Layer { neurons, activation, inputs: vec![], z: vec![], a: vec![], delta: vec![] }
    }

    /// The activations of all neurons for one sample.
    fn forward(&mut self, inputs: &[f64]) -> &[f64] {
        self.inputs = inputs.to_vec();
        self.z = self.neurons.iter().map(|neuron| neuron.weighted_sum(inputs)).collect();
        self.a = self.activation.activate(&self.z);
        &self.a
    }

    /// Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x.
    fn backward(&mut self, delta: Vec<f64>) -> Vec<f64> {
        self.delta = delta;
        for (neuron, delta) in self.neurons.iter_mut().zip(&self.delta) {
            neuron.add_gradients(*delta, &self.inputs);
        }
        self.input_slopes()
    }

    /// dL/dx of every input x, which is dL/da of the layer before.
    ///
    /// Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
    /// dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
    fn input_slopes(&self) -> Vec<f64> {
        // EXERCISE BEGIN hidden delta: vec![0.0; self.inputs.len()]
        let mut dloss_dx = vec![0.0; self.inputs.len()];
        for (neuron, delta) in self.neurons.iter().zip(&self.delta) {
            for (slope, weight) in dloss_dx.iter_mut().zip(&neuron.weights) {
                *slope += delta * weight;
            }
        }
        dloss_dx
        // EXERCISE END hidden delta
    }

    /// delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation.
    fn hidden_deltas(&self, dloss_da: &[f64]) -> Vec<f64> {
        // EXERCISE BEGIN hidden delta: vec![0.0; dloss_da.len()]
        self.activation.deltas(&self.z, &self.a, dloss_da)
        // EXERCISE END hidden delta
    }
}

// ------------------------------------------------------------------------------------------------
// 3. Network
// ------------------------------------------------------------------------------------------------

/// Layers, each reading the activations of the one before.
struct Network {
    layers: Vec<Layer>,
    loss: Loss,
    /// The output's activation and loss in one, where there is such a thing.
    one_step: Option<OneStep>,
}

impl Network {
    fn output(&self) -> &Layer {
        self.layers.last().expect("a network has layers")
    }

    /// Sends one sample through the network.
    fn forward(&mut self, inputs: &[f64]) {
        let mut a = inputs;
        for layer in &mut self.layers {
            a = layer.forward(a);
        }
    }

    /// The loss of the sample that went forward last.
    fn sample_loss(&self, targets: &[f64]) -> f64 {
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
                let dloss_da = self.loss.dloss_da(&output.a, targets);
                output.activation.deltas(&output.z, &output.a, &dloss_da)
            }
        };
        deltas.iter().map(|delta| delta / divisor).collect()
        // EXERCISE END output delta
    }

    /// Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
    fn backward(&mut self, targets: &[f64], divisor: f64) -> Vec<f64> {
        let mut delta = self.output_deltas(targets, divisor);
        let mut dloss_dx = vec![];
        for l in (0..self.layers.len()).rev() {
            dloss_dx = self.layers[l].backward(delta);
            // What the inputs of this layer get back is what the activations of the one before get back.
            delta = match l {
                0 => vec![],
                _ => self.layers[l - 1].hidden_deltas(&dloss_dx),
            };
        }
        dloss_dx
    }

    fn reset_gradients(&mut self) {
        for neuron in self.layers.iter_mut().flat_map(|layer| &mut layer.neurons) {
            neuron.reset_gradients();
        }
    }

    /// Takes one step down the slope, once all gradients are there.
    fn update(&mut self, learning_rate: f64) {
        for neuron in self.layers.iter_mut().flat_map(|layer| &mut layer.neurons) {
            neuron.update(learning_rate);
        }
    }
}

// ------------------------------------------------------------------------------------------------
// 4. From a case of backprop-check to its reply
// ------------------------------------------------------------------------------------------------

/// Why there is no reply.
pub enum Trouble {
    /// The case asks for something that this program has not learnt.
    NotThereYet(String),
    /// The request is not as the protocol says.
    Wrong(String),
}

struct Batch {
    inputs: Vec<Vec<f64>>,
    targets: Vec<Vec<f64>>,
    /// What to divide by to get from the sum of the samples' losses to the batch's loss.
    divisor: f64,
}

struct Optimizer {
    steps: usize,
    learning_rate: f64,
}

/// What one pass over the batch gives.
struct Pass {
    loss: f64,
    layers: Vec<Json>,
    input_gradients: Json,
}

/// Works out one case of backprop-check, and replies with all that the protocol knows.
pub fn backprop(request: &Json) -> Result<Json, Trouble> {
    let mut network = build_network(request)?;
    let optimizer = read_optimizer(request)?;
    let batch = read_batch(request)?;

    // Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
    let mut first = one_pass(&mut network, &batch);
    let mut trajectory = vec![];
    let steps = optimizer.as_ref().map_or(0, |optimizer| optimizer.steps);
    if let Some(optimizer) = optimizer {
        for step in 0..steps {
            let loss = if step == 0 { first.loss } else { one_pass(&mut network, &batch).loss };
            network.update(optimizer.learning_rate);
            let updated = |layer| object([("updated", parameters(layer))]);
            trajectory.push(object([
                ("loss", Json::Number(loss)),
                ("layers", Json::List(network.layers.iter().map(updated).collect())),
            ]));
        }
        for (record, layer) in first.layers.iter_mut().zip(&network.layers) {
            record.put("updated", parameters(layer));
        }
    }

    let mut reply = object([
        ("id", request.get("id").clone()),
        ("loss", Json::Number(first.loss)),
        ("layers", Json::List(first.layers)),
        ("input_gradients", first.input_gradients),
    ]);
    if steps > 1 {
        reply.put("trajectory", Json::List(trajectory));
    }
    Ok(reply)
}

/// Sends every sample forward and backward, and writes down what came out of it.
fn one_pass(network: &mut Network, batch: &Batch) -> Pass {
    network.reset_gradients();
    let mut loss = 0.0;
    let mut input_gradients = vec![];
    let mut records = vec![(vec![], vec![], vec![]); network.layers.len()]; // z, a and delta of every layer
    for (inputs, targets) in batch.inputs.iter().zip(&batch.targets) {
        network.forward(inputs);
        loss += network.sample_loss(targets);
        input_gradients.push(Json::from(&network.backward(targets, batch.divisor)[..]));
        for ((z, a, delta), layer) in records.iter_mut().zip(&network.layers) {
            z.push(Json::from(&layer.z[..]));
            a.push(Json::from(&layer.a[..]));
            delta.push(Json::from(&layer.delta[..]));
        }
    }

    let layers = records.into_iter().zip(&network.layers).map(|((z, a, delta), layer)| {
        object([
            ("gradients", gradients(layer)),
            ("z", Json::List(z)),
            ("a", Json::List(a)),
            ("delta", Json::List(delta)),
        ])
    });
    Pass { loss: loss / batch.divisor, layers: layers.collect(), input_gradients: Json::List(input_gradients) }
}

fn gradients(layer: &Layer) -> Json {
    object([
        ("weights", Json::List(layer.neurons.iter().map(|n| Json::from(&n.weight_gradients[..])).collect())),
        ("biases", Json::List(layer.neurons.iter().map(|n| Json::Number(n.bias_gradient)).collect())),
    ])
}

fn parameters(layer: &Layer) -> Json {
    object([
        ("weights", Json::List(layer.neurons.iter().map(|n| Json::from(&n.weights[..])).collect())),
        ("biases", Json::List(layer.neurons.iter().map(|n| Json::Number(n.bias)).collect())),
    ])
}

/// The network that the case describes.
fn build_network(request: &Json) -> Result<Network, Trouble> {
    let described = request.get("network").get("layers").list()?;
    let layers = described.iter().map(build_layer).collect::<Result<Vec<Layer>, Trouble>>()?;

    let kind = request.get("loss").get("kind").text()?;
    let threshold = optional(request.get("loss").get("threshold"))?;
    let loss = Loss::named(kind, threshold).ok_or_else(|| Trouble::NotThereYet(format!("the loss {kind}")))?;

    let Some(output) = described.last() else { return Err(Trouble::Wrong("a network without layers".into())) };
    let one_step = OneStep::named(output.get("activation").text()?, kind);
    Ok(Network { layers, loss, one_step })
}

/// One layer with the parameters that the case gives it.
fn build_layer(layer: &Json) -> Result<Layer, Trouble> {
    let kind = layer.get("kind").text()?;
    if kind != "dense" {
        return Err(Trouble::NotThereYet(format!("the layer {kind}")));
    }
    if *layer.get("from") != Json::Null || *layer.get("combine") != Json::Null {
        return Err(Trouble::NotThereYet("a layer that reads another one than the one before it".into()));
    }
    let name = layer.get("activation").text()?;
    let activation = Activation::named(name, optional(layer.get("alpha"))?)
        .ok_or_else(|| Trouble::NotThereYet(format!("the activation {name}")))?;

    let weights = layer.get("parameters").get("weights").list()?;
    let biases = layer.get("parameters").get("biases").numbers()?;
    let neurons = weights.iter().zip(biases).map(|(row, bias)| Ok(Neuron::new(row.numbers()?, bias)));
    Ok(Layer::new(neurons.collect::<Result<_, Trouble>>()?, activation))
}

/// The number of steps and the learning rate; `None` where no update is asked for.
fn read_optimizer(request: &Json) -> Result<Option<Optimizer>, Trouble> {
    let optimizer = request.get("optimizer");
    if *optimizer == Json::Null {
        return Ok(None);
    }
    let kind = optimizer.get("kind").text()?;
    if kind != "sgd" {
        return Err(Trouble::NotThereYet(format!("the optimizer {kind}")));
    }
    for option in ["momentum", "nesterov", "weight_decay"] {
        if ![Json::Null, Json::Bool(false), Json::Number(0.0)].contains(optimizer.get(option)) {
            return Err(Trouble::NotThereYet(format!("sgd with {option}")));
        }
    }
    let steps = optional(request.get("steps"))?.unwrap_or(1.0) as usize;
    Ok(Some(Optimizer { steps, learning_rate: optimizer.get("learning_rate").number()? }))
}

fn read_batch(request: &Json) -> Result<Batch, Trouble> {
    let rows = |name| request.get(name).list()?.iter().map(Json::numbers).collect::<Result<Vec<_>, Trouble>>();
    let (inputs, targets) = (rows("inputs")?, rows("targets")?);
    let divisor = match request.get("reduction") {
        Json::Text(word) if word == "sum" => 1.0,
        Json::Text(word) if word != "mean" => return Err(Trouble::NotThereYet(format!("the reduction {word}"))),
        _ => inputs.len() as f64,
    };
    Ok(Batch { inputs, targets, divisor })
}

fn optional(number: &Json) -> Result<Option<f64>, Trouble> {
    match number {
        Json::Null => Ok(None),
        given => given.number().map(Some),
    }
}
