//! From a case of backprop-check to its reply: build the network, send the batch through it, write down what came out.
//!
//! To test a network of your own, let `backprop` run it.

use crate::activations::{Activation, ACTIVATIONS};
use crate::json::{object, Json};
use crate::losses::{Loss, OneStep, LOSSES};
use crate::network::{Layer, Network, Neuron};

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
    records: Vec<Json>, // what the reply says of each layer
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
        for (record, layer) in first.records.iter_mut().zip(&network.layers) {
            record.put("updated", parameters(layer));
        }
    }

    let mut reply = object([
        ("id", request.get("id").clone()),
        ("loss", Json::Number(first.loss)),
        ("layers", Json::List(first.records)),
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

    let records = records.into_iter().zip(&network.layers).map(|((z, a, delta), layer)| {
        object([
            ("gradients", gradients(layer)),
            ("z", Json::List(z)),
            ("a", Json::List(a)),
            ("delta", Json::List(delta)),
        ])
    });
    Pass { loss: loss / batch.divisor, records: records.collect(), input_gradients: Json::List(input_gradients) }
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

    let kind = known(request.get("loss").get("kind").text()?, &LOSSES, "loss")?;
    let loss = Loss::named(kind, optional(request.get("loss").get("threshold"))?);

    let Some(output) = described.last() else { return Err(Trouble::Wrong("a network without layers".into())) };
    let one_step = OneStep::named(output.get("activation").text()?, kind);
    Ok(Network { layers, loss, one_step })
}

/// One layer with the parameters that the case gives it.
fn build_layer(layer: &Json) -> Result<Layer, Trouble> {
    known(layer.get("kind").text()?, &["dense"], "layer")?;
    if *layer.get("from") != Json::Null || *layer.get("combine") != Json::Null {
        return Err(Trouble::NotThereYet("a layer that reads another one than the one before it".into()));
    }
    let name = known(layer.get("activation").text()?, &ACTIVATIONS, "activation")?;
    let activation = Activation::named(name, optional(layer.get("alpha"))?);

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
    known(optimizer.get("kind").text()?, &["sgd"], "optimizer")?;
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
    let reduction = match request.get("reduction") {
        Json::Text(word) => known(word, &["mean", "sum"], "reduction")?,
        _ => "mean",
    };
    let divisor = if reduction == "mean" { inputs.len() as f64 } else { 1.0 };
    Ok(Batch { inputs, targets, divisor })
}

/// The word, if we know it.
fn known<'a>(word: &'a str, words: &[&str], what: &str) -> Result<&'a str, Trouble> {
    if words.contains(&word) {
        return Ok(word);
    }
    Err(Trouble::NotThereYet(format!("the {what} {word}")))
}

fn optional(number: &Json) -> Result<Option<f64>, Trouble> {
    match number {
        Json::Null => Ok(None),
        given => given.number().map(Some),
    }
}
