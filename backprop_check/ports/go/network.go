// A neural network of dense layers and its backpropagation, neuron by neuron, in plain Go.
//
// Read it from top to bottom:
//
//  1. Neuron     weights and a bias: the weighted sum forward, the gradients backward, the update
//  2. Layer      neurons that read the same inputs
//  3. Network    layers one after the other: forward, backward, update
//  4. backprop   from a case of backprop-check to its reply
//
// The names are the field's: z is a neuron's weighted sum plus its bias, a its activation, and delta is dL/dz,
// the slope of the loss L with regard to z. There are no matrices, only lists of numbers.
package main

import "errors"

// ------------------------------------------------------------------------------------------------
// 1. Neuron
// ------------------------------------------------------------------------------------------------

// Neuron is one neuron: a weight for each of its inputs, and a bias.
type Neuron struct {
	weights Numbers
	bias    float64

	weightGradients Numbers
	biasGradient    float64
}

// resetGradients starts the sums over the samples at 0.
func (n *Neuron) resetGradients() {
	n.weightGradients = make(Numbers, len(n.weights))
	n.biasGradient = 0.0
}

// weightedSum is the way forward: z, every input times its weight, plus the bias.
func (n *Neuron) weightedSum(inputs Numbers) float64 {
	z := n.bias
	for i, weight := range n.weights {
		z += weight * inputs[i]
	}
	return z
}

// addGradients is the way backward: it adds one sample's part to the gradients.
//
// A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
func (n *Neuron) addGradients(delta float64, inputs Numbers) {
	// EXERCISE BEGIN gradients
	for i, x := range inputs {
		n.weightGradients[i] += delta * x
	}
	n.biasGradient += delta
	// EXERCISE END gradients
}

// update takes one step down the slope.
func (n *Neuron) update(learningRate float64) {
	// EXERCISE BEGIN update
	for i, gradient := range n.weightGradients {
		n.weights[i] -= learningRate * gradient
	}
	n.bias -= learningRate * n.biasGradient
	// EXERCISE END update
}

// ------------------------------------------------------------------------------------------------
// 2. Layer
// ------------------------------------------------------------------------------------------------

// Layer is neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a.
type Layer struct {
	neurons    []*Neuron
	activation Activation

	inputs, z, a, delta Numbers
}

// forward gives the activations of all neurons for one sample.
func (l *Layer) forward(inputs Numbers) Numbers {
	l.inputs = inputs
	l.z = make(Numbers, len(l.neurons))
	for j, neuron := range l.neurons {
		l.z[j] = neuron.weightedSum(inputs)
	}
	l.a = l.activation.Activate(l.z)
	return l.a
}

// backward takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x.
func (l *Layer) backward(delta Numbers) Numbers {
	l.delta = delta
	for j, neuron := range l.neurons {
		neuron.addGradients(delta[j], l.inputs)
	}
	return l.inputSlopes()
}

// inputSlopes gives dL/dx of every input x, which is dL/da of the layer before.
//
// Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
// dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
func (l *Layer) inputSlopes() Numbers {
	dLossDx := make(Numbers, len(l.inputs))
	// EXERCISE BEGIN hidden delta
	for j, neuron := range l.neurons {
		for i, weight := range neuron.weights {
			dLossDx[i] += l.delta[j] * weight
		}
	}
	// EXERCISE END hidden delta
	return dLossDx
}

// hiddenDeltas gives delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation.
func (l *Layer) hiddenDeltas(dLossDa Numbers) Numbers {
	// EXERCISE BEGIN hidden delta: return make(Numbers, len(l.neurons))
	return l.activation.Deltas(l.z, l.a, dLossDa)
	// EXERCISE END hidden delta
}

// ------------------------------------------------------------------------------------------------
// 3. Network
// ------------------------------------------------------------------------------------------------

// Network is layers, each reading the activations of the one before.
type Network struct {
	layers  []*Layer
	loss    Loss
	oneStep OneStep // the output's activation and loss in one; nil where there is no such thing
}

func (n *Network) output() *Layer {
	return n.layers[len(n.layers)-1]
}

// forward gives the output of the network for one sample.
func (n *Network) forward(inputs Numbers) Numbers {
	for _, layer := range n.layers {
		inputs = layer.forward(inputs)
	}
	return inputs
}

// sampleLoss gives the loss of the sample that went forward last.
func (n *Network) sampleLoss(targets Numbers) float64 {
	if n.oneStep != nil {
		return n.oneStep.ofSample(n.output().z, targets)
	}
	return n.loss.ofSample(n.output().a, targets)
}

// outputDeltas gives dL/dz of the output neurons, where backward begins.
//
// L is the loss of the whole batch, the mean of its samples' losses or their sum: divisor is their number, or 1.
func (n *Network) outputDeltas(targets Numbers, divisor float64) Numbers {
	// EXERCISE BEGIN output delta: return make(Numbers, len(targets))
	output := n.output()
	var deltas Numbers
	if n.oneStep != nil {
		deltas = n.oneStep.deltas(output.a, targets)
	} else {
		deltas = output.activation.Deltas(output.z, output.a, n.loss.dLossDa(output.a, targets))
	}
	for k := range deltas {
		deltas[k] /= divisor
	}
	return deltas
	// EXERCISE END output delta
}

// backward sends one sample's loss back through the network, last layer first. It gives dL/dx of the inputs.
func (n *Network) backward(targets Numbers, divisor float64) Numbers {
	dLossDx := n.output().backward(n.outputDeltas(targets, divisor))
	for l := len(n.layers) - 2; l >= 0; l-- {
		// What the inputs of the layer after get back is what the activations of this one get back.
		dLossDx = n.layers[l].backward(n.layers[l].hiddenDeltas(dLossDx))
	}
	return dLossDx
}

func (n *Network) resetGradients() {
	for _, layer := range n.layers {
		for _, neuron := range layer.neurons {
			neuron.resetGradients()
		}
	}
}

// update takes one step down the slope, once all gradients are there.
func (n *Network) update(learningRate float64) {
	for _, layer := range n.layers {
		for _, neuron := range layer.neurons {
			neuron.update(learningRate)
		}
	}
}

// ------------------------------------------------------------------------------------------------
// 4. From a case of backprop-check to its reply
// ------------------------------------------------------------------------------------------------

// NotThereYet is an error: the case asks for something that this program has not learnt.
type NotThereYet string

func (what NotThereYet) Error() string {
	return string(what) + " is not there yet"
}

// backprop works out one case of backprop-check, and replies with all that the protocol knows.
func backprop(c Case) (Reply, error) {
	if err := check(c); err != nil {
		return Reply{}, err
	}
	network := buildNetwork(c)
	divisor := 1.0 // from the sum of the samples' losses to the batch's loss
	if c.Reduction != "sum" {
		divisor = float64(len(c.Inputs))
	}

	// Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
	reply := onePass(network, c, divisor)
	if c.Optimizer == nil {
		return reply, nil
	}

	steps := 1
	if c.Steps != nil {
		steps = *c.Steps
	}
	var trajectory []StepReply
	for step := 0; step < steps; step++ {
		loss := reply.Loss
		if step > 0 {
			loss = onePass(network, c, divisor).Loss
		}
		network.update(float64(c.Optimizer.LearningRate))
		trajectory = append(trajectory, StepReply{Loss: loss})
		for _, layer := range network.layers {
			trajectory[step].Layers = append(trajectory[step].Layers, LayerUpdate{parameters(layer)})
		}
	}
	for l, layer := range network.layers {
		updated := parameters(layer)
		reply.Layers[l].Updated = &updated
	}
	if steps > 1 {
		reply.Trajectory = trajectory
	}
	return reply, nil
}

// onePass sends every sample forward and backward, and writes down what came out of it.
func onePass(network *Network, c Case, divisor float64) Reply {
	network.resetGradients()
	reply := Reply{ID: c.ID, Layers: make([]LayerReply, len(network.layers))}
	loss := 0.0
	for s, inputs := range c.Inputs {
		network.forward(inputs)
		loss += network.sampleLoss(c.Targets[s])
		reply.InputGradients = append(reply.InputGradients, network.backward(c.Targets[s], divisor))
		for l, layer := range network.layers {
			record := &reply.Layers[l]
			record.Z = append(record.Z, layer.z)
			record.A = append(record.A, layer.a)
			record.Delta = append(record.Delta, layer.delta)
		}
	}
	reply.Loss = Number(loss / divisor)
	for l, layer := range network.layers {
		for _, neuron := range layer.neurons {
			gradients := &reply.Layers[l].Gradients
			gradients.Weights = append(gradients.Weights, neuron.weightGradients)
			gradients.Biases = append(gradients.Biases, neuron.biasGradient)
		}
	}
	return reply
}

// parameters gives a copy of the layer's weights and biases as they are now.
func parameters(layer *Layer) Parameters {
	var copied Parameters
	for _, neuron := range layer.neurons {
		copied.Weights = append(copied.Weights, append(Numbers{}, neuron.weights...))
		copied.Biases = append(copied.Biases, neuron.bias)
	}
	return copied
}

// check refuses a case with a word in it that we do not know.
func check(c Case) error {
	if len(c.Network.Layers) == 0 {
		return errors.New("a network without layers")
	}
	for _, layer := range c.Network.Layers {
		if layer.Kind != "dense" {
			return NotThereYet("the layer " + layer.Kind)
		}
		if layer.From != nil || layer.Combine != "" {
			return NotThereYet("a layer that reads another one than the one before it")
		}
		if activations[layer.Activation] == nil {
			return NotThereYet("the activation " + layer.Activation)
		}
	}
	if losses[c.Loss.Kind] == nil {
		return NotThereYet("the loss " + c.Loss.Kind)
	}
	if c.Reduction != "" && c.Reduction != "mean" && c.Reduction != "sum" {
		return NotThereYet("the reduction " + c.Reduction)
	}
	if o := c.Optimizer; o != nil {
		if o.Kind != "sgd" {
			return NotThereYet("the optimizer " + o.Kind)
		}
		if o.Momentum != 0.0 || o.Nesterov || o.WeightDecay != 0.0 {
			return NotThereYet("sgd with momentum, nesterov or weight_decay")
		}
	}
	return nil
}

// buildNetwork makes the network that the case describes.
func buildNetwork(c Case) *Network {
	network := &Network{loss: losses[c.Loss.Kind](c.Loss.Threshold)}
	for _, layer := range c.Network.Layers {
		network.layers = append(network.layers, buildLayer(layer))
		network.oneStep = inOneStep[[2]string{layer.Activation, c.Loss.Kind}] // the last layer's stays
	}
	return network
}

// buildLayer makes one layer with the parameters that the case gives it.
func buildLayer(described CaseLayer) *Layer {
	layer := &Layer{activation: activations[described.Activation](described.Alpha)}
	for j, row := range described.Parameters.Weights {
		layer.neurons = append(layer.neurons, &Neuron{weights: row, bias: described.Parameters.Biases[j]})
	}
	return layer
}
