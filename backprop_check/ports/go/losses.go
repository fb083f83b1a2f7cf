// Losses: how wrong the outputs of a sample are, and the slope of that.
package main

import "math"

// Loss is how wrong one output neuron is, and the derivative of that. A sample's loss sums up its outputs'.
//
// term(a, t) is one output's part of the loss, of its activation a and its target t, and derivative(a, t) the
// derivative of that part with regard to a.
type Loss struct {
	term            func(a, t float64) float64
	derivative      func(a, t float64) float64
	meanOverOutputs bool // whether that sum is divided by the number of outputs
}

// ofSample is the loss of one sample.
func (l Loss) ofSample(a, t Numbers) float64 {
	total := 0.0
	for k := range a {
		total += l.term(a[k], t[k])
	}
	return total / l.divisor(a)
}

// activationGradients is dL/da of every output, where L is the loss of this one sample.
func (l Loss) activationGradients(a, t Numbers) Numbers {
	gradients := make(Numbers, len(a))
	for k := range a {
		gradients[k] = l.derivative(a[k], t[k]) / l.divisor(a)
	}
	return gradients
}

func (l Loss) divisor(a Numbers) float64 {
	if l.meanOverOutputs {
		return float64(len(a))
	}
	return 1.0
}

// losses has how to make each of them, with the parameter threshold, which only one has.
var losses = map[string]func(threshold *Number) Loss{
	// Half the square of the error a - t; the half is there to cancel the 2 of the derivative.
	"half_squared_error": func(*Number) Loss {
		return Loss{
			term:       func(a, t float64) float64 { return 0.5 * (a - t) * (a - t) },
			derivative: func(a, t float64) float64 { return a - t },
		}
	},

	// The square of the error.
	"squared_error": func(*Number) Loss {
		return Loss{term: square, derivative: squareDerivative}
	},

	// The square of the error, averaged over the outputs.
	"mean_squared_error": func(*Number) Loss {
		return Loss{term: square, derivative: squareDerivative, meanOverOutputs: true}
	},

	// The size of the error, averaged over the outputs.
	"mean_absolute_error": func(*Number) Loss {
		return Loss{
			term:            func(a, t float64) float64 { return math.Abs(a - t) },
			derivative:      func(a, t float64) float64 { return sign(a - t) },
			meanOverOutputs: true,
		}
	},

	// Half the square of a small error; a straight line from there on for a large one.
	"huber": func(given *Number) Loss {
		threshold := valueOr(given, 1.0)
		return Loss{
			term: func(a, t float64) float64 {
				size := math.Abs(a - t)
				if size <= threshold {
					return 0.5 * size * size
				}
				return threshold * (size - 0.5*threshold)
			},
			derivative: func(a, t float64) float64 {
				if math.Abs(a-t) <= threshold {
					return a - t
				}
				return threshold * sign(a-t)
			},
			meanOverOutputs: true,
		}
	},

	// -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1.
	"binary_cross_entropy": func(*Number) Loss {
		return Loss{
			term:       func(a, t float64) float64 { return -(timesLog(t, a) + timesLog(1.0-t, 1.0-a)) },
			derivative: func(a, t float64) float64 { return -(divide(t, a) - divide(1.0-t, 1.0-a)) },
		}
	},

	// -t ln a: how surprising t is, where the outputs a are the probabilities of the classes.
	"cross_entropy": func(*Number) Loss {
		return Loss{
			term:       func(a, t float64) float64 { return -timesLog(t, a) },
			derivative: func(a, t float64) float64 { return -divide(t, a) },
		}
	},

	// -t a: cross-entropy where the output already is a logarithm (the activation log_softmax).
	"negative_log_likelihood": func(*Number) Loss {
		return Loss{
			term:       func(a, t float64) float64 { return -t * a },
			derivative: func(a, t float64) float64 { return -t },
		}
	},

	// max(0, 1 - t a), t being -1 or 1: nothing to pay on the right side, from a margin of 1 on.
	"hinge": func(*Number) Loss {
		return Loss{
			term:       func(a, t float64) float64 { return math.Max(0.0, 1.0-t*a) },
			derivative: func(a, t float64) float64 { return -t * oneIf(1.0-t*a > 0.0) },
		}
	},
}

func square(a, t float64) float64 { return (a - t) * (a - t) }

func squareDerivative(a, t float64) float64 { return 2.0 * (a - t) }

// OneStep is the output's activation and its loss in one, from z to the loss and back.
//
// Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer:
// nothing is divided by a probability that was rounded to 0, and no logarithm is taken of it.
type OneStep interface {
	// ofSample gives the loss of one sample.
	ofSample(z, t Numbers) float64
	// deltas gives dL/dz of every output.
	deltas(a, t Numbers) Numbers
}

// inOneStep has these pairs, by the names of the activation and the loss.
var inOneStep = map[[2]string]OneStep{
	{"sigmoid", "binary_cross_entropy"}: sigmoidWithBinaryCrossEntropy{},
	{"softmax", "cross_entropy"}:        softmaxWithCrossEntropy{},
}

// With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z).
type sigmoidWithBinaryCrossEntropy struct{}

func (sigmoidWithBinaryCrossEntropy) ofSample(z, t Numbers) float64 {
	loss := 0.0
	for k := range z {
		loss += t[k]*softplus(-z[k]) + (1.0-t[k])*softplus(z[k])
	}
	return loss
}

// dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
func (sigmoidWithBinaryCrossEntropy) deltas(a, t Numbers) Numbers {
	deltas := make(Numbers, len(a))
	for k := range a {
		deltas[k] = a[k] - t[k]
	}
	return deltas
}

// With a = softmax(z), ln a is log_softmax(z).
type softmaxWithCrossEntropy struct{}

func (softmaxWithCrossEntropy) ofSample(z, t Numbers) float64 {
	loss := 0.0
	for k, logA := range (logSoftmax{}).activate(z) {
		loss += -t[k] * logA
	}
	return loss
}

// Put dL/da = -t / a into the chain rule of softmax, and a * (sum of t) - t is left.
func (softmaxWithCrossEntropy) deltas(a, t Numbers) Numbers {
	total := addUp(t) // 1 for probabilities, and then this is the well-known a - t
	deltas := make(Numbers, len(a))
	for k := range a {
		deltas[k] = a[k]*total - t[k]
	}
	return deltas
}
