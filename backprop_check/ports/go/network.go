// A neural network of dense layers and its backpropagation, neuron by neuron, in plain Go.
//
// Read it from top to bottom:
//
//  1. Neuron     weights and a bias: the pre-activation forward, the gradients backward, the update
//  2. Layer      neurons that read the same inputs
//  3. Network    layers one after the other: forward, backward, update
//
// The names are the field's: z is a neuron's pre-activation (the weighted sum of its inputs plus its bias), a its
// activation, and delta is dL/dz, the slope of the loss L with regard to z. Every other slope of L is a gradient:
// dL/dw of a weight, dL/dx of an input, dL/da of an activation. There are no matrices, only lists of numbers.
package main

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

// preActivation is the way forward: z, every input times its weight, plus the bias.
func (n *Neuron) preActivation(inputs Numbers) float64 {
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
		l.z[j] = neuron.preActivation(inputs)
	}
	l.a = l.activation.activate(l.z)
	return l.a
}

// hiddenDeltas gives delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation.
func (l *Layer) hiddenDeltas(activationGradients Numbers) Numbers {
	// EXERCISE BEGIN hidden delta: return make(Numbers, len(l.neurons))
	return l.activation.deltas(l.z, l.a, activationGradients)
	// EXERCISE END hidden delta
}

// backward takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x.
func (l *Layer) backward(delta Numbers) Numbers {
	l.delta = delta
	for j, neuron := range l.neurons {
		neuron.addGradients(delta[j], l.inputs)
	}
	return l.inputGradients()
}

// inputGradients gives dL/dx of every input x, which is dL/da of the layer before.
//
// Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
// dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
func (l *Layer) inputGradients() Numbers {
	gradients := make(Numbers, len(l.inputs))
	// EXERCISE BEGIN hidden delta
	for j, neuron := range l.neurons {
		for i, weight := range neuron.weights {
			gradients[i] += l.delta[j] * weight
		}
	}
	// EXERCISE END hidden delta
	return gradients
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
		deltas = output.activation.deltas(output.z, output.a, n.loss.activationGradients(output.a, targets))
	}
	for k := range deltas {
		deltas[k] /= divisor
	}
	return deltas
	// EXERCISE END output delta
}

// backward sends one sample's loss back through the network, last layer first. It gives dL/dx of the inputs.
func (n *Network) backward(targets Numbers, divisor float64) Numbers {
	gradients := n.output().backward(n.outputDeltas(targets, divisor))
	for l := len(n.layers) - 2; l >= 0; l-- {
		// The inputs of the layer after are the activations of this one, and so are their gradients.
		gradients = n.layers[l].backward(n.layers[l].hiddenDeltas(gradients))
	}
	return gradients
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
