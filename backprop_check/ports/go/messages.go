// The messages of the protocol, as far as this port knows them.
package main

import (
	"encoding/json"
	"math"
	"sort"
	"strconv"
)

// CaseRequest is a request to work out a network's loss and gradients.
type CaseRequest struct {
	ID      string
	Network struct{ Layers []LayerRequest }
	Loss    struct {
		Kind      string
		Threshold *Number
	}
	Reduction string
	Inputs    []Numbers // Inputs[s] is sample s
	Targets   []Numbers
	Optimizer *OptimizerRequest // nil where no update is asked for
	Steps     *int
}

// LayerRequest describes one layer. Weights[j][i] is the weight from input i into neuron j.
type LayerRequest struct {
	Kind       string
	Activation string
	Alpha      *Number
	From       []string
	Combine    string
	Parameters Parameters
}

// OptimizerRequest says how to update the parameters.
type OptimizerRequest struct {
	Kind         string
	LearningRate Number `json:"learning_rate"`
	Momentum     Number
	Nesterov     bool
	WeightDecay  Number `json:"weight_decay"`
}

// HelloReply is the answer to the first request.
type HelloReply struct {
	Protocol    int      `json:"protocol"`
	Name        string   `json:"name"`
	Language    string   `json:"language"`
	Version     string   `json:"version"`
	Dtype       string   `json:"dtype"`
	MaxInFlight int      `json:"max_in_flight"`
	Supports    Supports `json:"supports"`
	Echo        Numbers  `json:"echo,omitempty"`
}

// Supports lists what this port can do.
type Supports struct {
	Layers      []string `json:"layers"`
	Activations []string `json:"activations"`
	Losses      []string `json:"losses"`
	Optimizers  []string `json:"optimizers"`
	Batch       bool     `json:"batch"`
}

// CaseReply is all that this port reports. Only the gradients of the layers are required.
type CaseReply struct {
	ID             string       `json:"id"`
	Loss           Number       `json:"loss"`
	Layers         []LayerReply `json:"layers"`
	InputGradients []Numbers    `json:"input_gradients"`
	Trajectory     []StepReply  `json:"trajectory,omitempty"`
}

// LayerReply is what one layer worked out. Z, A and Delta have the sample first, then the neuron.
type LayerReply struct {
	Z         []Numbers   `json:"z"`
	A         []Numbers   `json:"a"`
	Delta     []Numbers   `json:"delta"`
	Gradients Parameters  `json:"gradients"`
	Updated   *Parameters `json:"updated,omitempty"`
}

// StepReply is what one update did: the loss before it, the parameters after it.
type StepReply struct {
	Loss   Number        `json:"loss"`
	Layers []LayerUpdate `json:"layers"`
}

// LayerUpdate holds the parameters of one layer after an update.
type LayerUpdate struct {
	Updated Parameters `json:"updated"`
}

// Parameters are the weights and biases of a layer, or their gradients.
type Parameters struct {
	Weights []Numbers `json:"weights"`
	Biases  Numbers   `json:"biases"`
}

// Skip says that a case asks for something that is not there yet.
type Skip struct {
	ID   string `json:"id,omitempty"`
	Skip string `json:"skip"`
}

// Failure says that something went wrong.
type Failure struct {
	ID        string `json:"id,omitempty"`
	Error     string `json:"error"`
	Traceback string `json:"traceback,omitempty"`
}

// Number is a float64 that knows the protocol's ways where encoding/json has others: NaN and infinity, for which JSON
// has no numbers, are text, and -0 keeps its point, so that nobody reads it as the integer 0.
type Number float64

// Numbers is a list of float64, written and read as Number is.
type Numbers []float64

// MarshalJSON writes the number.
func (n Number) MarshalJSON() ([]byte, error) {
	x := float64(n)
	switch {
	case math.IsNaN(x):
		return []byte(`"NaN"`), nil
	case math.IsInf(x, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(x, -1):
		return []byte(`"-Infinity"`), nil
	case x == 0.0 && math.Signbit(x):
		return []byte("-0.0"), nil
	}
	return json.Marshal(x)
}

// UnmarshalJSON reads the number.
func (n *Number) UnmarshalJSON(text []byte) error {
	var word string
	if json.Unmarshal(text, &word) == nil {
		x, err := strconv.ParseFloat(word, 64) // it knows NaN and Infinity
		*n = Number(x)
		return err
	}
	return json.Unmarshal(text, (*float64)(n))
}

// MarshalJSON writes the list.
func (numbers Numbers) MarshalJSON() ([]byte, error) {
	list := make([]Number, len(numbers))
	for i, x := range numbers {
		list[i] = Number(x)
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads the list.
func (numbers *Numbers) UnmarshalJSON(text []byte) error {
	var list []Number
	err := json.Unmarshal(text, &list)
	*numbers = make(Numbers, len(list))
	for i, x := range list {
		(*numbers)[i] = float64(x)
	}
	return err
}

// names gives the keys of a map in the order of the alphabet.
func names[T any](table map[string]T) []string {
	keys := make([]string, 0, len(table))
	for key := range table {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// valueOr is a parameter that the case may leave out.
func valueOr(number *Number, fallback float64) float64 {
	if number == nil {
		return fallback
	}
	return float64(*number)
}
