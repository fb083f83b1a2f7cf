// From a case of backprop-check to its reply: build the network, send the batch through it, write down what came out.
//
// To test a network of your own, let backprop run it.
package main

import "errors"

// NotThereYet is an error: the case asks for something that this program has not learnt. It is skipped, which is no
// failure.
type NotThereYet string

func (what NotThereYet) Error() string {
	return string(what) + " is not there yet"
}

// Optimizer says how many steps to take, and how long they are.
type Optimizer struct {
	steps        int
	learningRate float64
}

// Batch is the samples, and what to divide by to get from the sum of their losses to the batch's loss.
type Batch struct {
	inputs, targets []Numbers
	divisor         float64
}

// backprop works out one case of backprop-check, and replies with all that the protocol knows.
func backprop(request CaseRequest) (CaseReply, error) {
	network, err := buildNetwork(request)
	if err != nil {
		return CaseReply{}, err
	}
	optimizer, err := readOptimizer(request)
	if err != nil {
		return CaseReply{}, err
	}
	batch, err := readBatch(request)
	if err != nil {
		return CaseReply{}, err
	}

	// Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
	reply := onePass(network, batch)
	reply.ID = request.ID
	if optimizer == nil {
		return reply, nil
	}

	var trajectory []StepReply
	for step := 0; step < optimizer.steps; step++ {
		loss := reply.Loss
		if step > 0 {
			loss = onePass(network, batch).Loss
		}
		network.update(optimizer.learningRate)
		trajectory = append(trajectory, StepReply{Loss: loss})
		for _, layer := range network.layers {
			trajectory[step].Layers = append(trajectory[step].Layers, LayerUpdate{parameters(layer)})
		}
	}
	for l, layer := range network.layers {
		updated := parameters(layer)
		reply.Layers[l].Updated = &updated
	}
	if optimizer.steps > 1 {
		reply.Trajectory = trajectory
	}
	return reply, nil
}

// onePass sends every sample forward and backward, and writes down what came out of it.
func onePass(network *Network, batch Batch) CaseReply {
	network.resetGradients()
	loss := 0.0
	var inputGradients []Numbers
	records := make([]LayerReply, len(network.layers))
	for s, inputs := range batch.inputs {
		network.forward(inputs)
		loss += network.sampleLoss(batch.targets[s])
		inputGradients = append(inputGradients, network.backward(batch.targets[s], batch.divisor))
		for l, layer := range network.layers {
			record := &records[l]
			record.Z = append(record.Z, layer.z)
			record.A = append(record.A, layer.a)
			record.Delta = append(record.Delta, layer.delta)
		}
	}
	for l, layer := range network.layers {
		records[l].Gradients = gradients(layer)
	}
	return CaseReply{Loss: Number(loss / batch.divisor), Layers: records, InputGradients: inputGradients}
}

// gradients gives the layer's gradients. They stay as they are: resetGradients makes new ones.
func gradients(layer *Layer) Parameters {
	var found Parameters
	for _, neuron := range layer.neurons {
		found.Weights = append(found.Weights, neuron.weightGradients)
		found.Biases = append(found.Biases, neuron.biasGradient)
	}
	return found
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

// buildNetwork makes the network that the case describes.
func buildNetwork(request CaseRequest) (*Network, error) {
	layers := request.Network.Layers
	if len(layers) == 0 {
		return nil, errors.New("a network without layers")
	}
	network := &Network{}
	for _, described := range layers {
		layer, err := buildLayer(described)
		if err != nil {
			return nil, err
		}
		network.layers = append(network.layers, layer)
	}
	if err := known(request.Loss.Kind, names(losses), "loss"); err != nil {
		return nil, err
	}
	network.loss = losses[request.Loss.Kind](request.Loss.Threshold)
	network.oneStep = inOneStep[[2]string{layers[len(layers)-1].Activation, request.Loss.Kind}]
	return network, nil
}

// buildLayer makes one layer with the parameters that the case gives it.
func buildLayer(described LayerRequest) (*Layer, error) {
	if err := known(described.Kind, []string{"dense"}, "layer"); err != nil {
		return nil, err
	}
	if described.From != nil || described.Combine != "" {
		return nil, NotThereYet("a layer that reads another one than the one before it")
	}
	if err := known(described.Activation, names(activations), "activation"); err != nil {
		return nil, err
	}
	layer := &Layer{activation: activations[described.Activation](described.Alpha)}
	for j, row := range described.Parameters.Weights {
		layer.neurons = append(layer.neurons, &Neuron{weights: row, bias: described.Parameters.Biases[j]})
	}
	return layer, nil
}

// readOptimizer gives the number of steps and the learning rate; nil where no update is asked for.
func readOptimizer(request CaseRequest) (*Optimizer, error) {
	settings := request.Optimizer
	if settings == nil {
		return nil, nil
	}
	if err := known(settings.Kind, []string{"sgd"}, "optimizer"); err != nil {
		return nil, err
	}
	if settings.Momentum != 0.0 || settings.Nesterov || settings.WeightDecay != 0.0 {
		return nil, NotThereYet("sgd with momentum, nesterov or weight_decay")
	}
	steps := 1
	if request.Steps != nil {
		steps = *request.Steps
	}
	return &Optimizer{steps, float64(settings.LearningRate)}, nil
}

// readBatch gives the samples, and what to divide by to get from the sum of their losses to the batch's loss.
func readBatch(request CaseRequest) (Batch, error) {
	batch := Batch{inputs: request.Inputs, targets: request.Targets, divisor: float64(len(request.Inputs))}
	switch request.Reduction {
	case "", "mean":
	case "sum":
		batch.divisor = 1.0
	default:
		return Batch{}, NotThereYet("the reduction " + request.Reduction)
	}
	return batch, nil
}

// known refuses a word that we do not know.
func known(word string, words []string, what string) error {
	for _, each := range words {
		if each == word {
			return nil
		}
	}
	return NotThereYet("the " + what + " " + word)
}
