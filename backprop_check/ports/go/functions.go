// Activations and losses, each with its derivative.
//
// The names are the field's: z is a neuron's weighted sum plus its bias, a its activation, t a target.
package main

import "math"

// ------------------------------------------------------------------------------------------------
// Activations
// ------------------------------------------------------------------------------------------------

// Activation is what a layer makes of its z, and the way back.
type Activation interface {
	// Activate gives a, the activations.
	Activate(z Numbers) Numbers
	// Deltas gives dL/dz from dL/da.
	Deltas(z, a, dLossDa Numbers) Numbers
}

// ofOneNeuron is an activation where every neuron is on its own. value(z) gives its a, and derivative(z, a) gives
// da/dz: both z and a are at hand, since some derivatives are simpler in one, some in the other.
type ofOneNeuron struct {
	value      func(z float64) float64
	derivative func(z, a float64) float64
}

func (f ofOneNeuron) Activate(z Numbers) Numbers {
	a := make(Numbers, len(z))
	for j := range z {
		a[j] = f.value(z[j])
	}
	return a
}

// Deltas is the chain rule: dL/dz = dL/da * da/dz.
func (f ofOneNeuron) Deltas(z, a, dLossDa Numbers) Numbers {
	deltas := make(Numbers, len(z))
	for j := range z {
		deltas[j] = dLossDa[j] * f.derivative(z[j], a[j])
	}
	return deltas
}

// activations has how to make each of them, with their parameter alpha, which only two have.
var activations = map[string]func(alpha *Number) Activation{
	"identity": func(*Number) Activation {
		return ofOneNeuron{
			value:      func(z float64) float64 { return z },
			derivative: func(z, a float64) float64 { return 1.0 },
		}
	},

	// 1 / (1 + e^-z): any number squeezed into 0..1.
	"sigmoid": func(*Number) Activation {
		return ofOneNeuron{
			value:      sigmoid,
			derivative: func(z, a float64) float64 { return a * (1.0 - a) },
		}
	},

	// The hyperbolic tangent: any number squeezed into -1..1.
	"tanh": func(*Number) Activation {
		return ofOneNeuron{
			value:      math.Tanh,
			derivative: func(z, a float64) float64 { return 1.0 - a*a },
		}
	},

	// z where it is positive, else 0. At z = 0 there is a kink and no slope; 0 is the usual convention.
	"relu": func(*Number) Activation {
		return ofOneNeuron{
			value:      func(z float64) float64 { return math.Max(0.0, z) },
			derivative: func(z, a float64) float64 { return oneIf(z > 0.0) },
		}
	},

	// Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead.
	"leaky_relu": func(alpha *Number) Activation {
		slope := valueOr(alpha, 0.01)
		return ofOneNeuron{
			value: func(z float64) float64 {
				if z > 0.0 {
					return z
				}
				return slope * z
			},
			derivative: func(z, a float64) float64 {
				if z > 0.0 {
					return 1.0
				}
				return slope
			},
		}
	},

	// Like ReLU, but bending smoothly to -alpha. Expm1(z) is e^z - 1 without the digits that the minus loses.
	"elu": func(alpha *Number) Activation {
		bend := valueOr(alpha, 1.0)
		return ofOneNeuron{
			value: func(z float64) float64 {
				if z > 0.0 {
					return z
				}
				return bend * math.Expm1(z)
			},
			derivative: func(z, a float64) float64 {
				if z > 0.0 {
					return 1.0
				}
				return bend * math.Exp(z)
			},
		}
	},

	// ln(1 + e^z): a smooth ReLU.
	"softplus": func(*Number) Activation {
		return ofOneNeuron{
			value:      softplus,
			derivative: func(z, a float64) float64 { return sigmoid(z) },
		}
	},

	// z / (1 + |z|): like tanh, but slower to reach -1 and 1.
	"softsign": func(*Number) Activation {
		return ofOneNeuron{
			value:      func(z float64) float64 { return z / (1.0 + math.Abs(z)) },
			derivative: func(z, a float64) float64 { return 1.0 / ((1.0 + math.Abs(z)) * (1.0 + math.Abs(z))) },
		}
	},

	// z * sigmoid(z), also called swish. The derivative is the product rule.
	"silu": func(*Number) Activation {
		return ofOneNeuron{
			value:      func(z float64) float64 { return z * sigmoid(z) },
			derivative: func(z, a float64) float64 { return sigmoid(z) + z*sigmoid(z)*(1.0-sigmoid(z)) },
		}
	},

	// z * P(z), P(z) the probability that a standard normal number is below z. Again the product rule.
	"gelu": func(*Number) Activation {
		return ofOneNeuron{
			value:      func(z float64) float64 { return z * probabilityBelow(z) },
			derivative: func(z, a float64) float64 { return probabilityBelow(z) + z*bellCurve(z) },
		}
	},

	// z, cut off at -1 and 1.
	"hard_tanh": func(*Number) Activation {
		return ofOneNeuron{
			value:      func(z float64) float64 { return math.Min(1.0, math.Max(-1.0, z)) },
			derivative: func(z, a float64) float64 { return oneIf(-1.0 < z && z < 1.0) },
		}
	},

	"softmax":     func(*Number) Activation { return softmax{} },
	"log_softmax": func(*Number) Activation { return logSoftmax{} },
}

// softmax is e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1.
type softmax struct{}

func (softmax) Activate(z Numbers) Numbers {
	// Taking the largest z off all of them changes no quotient, and no power can overflow.
	shift := largest(z)
	powers := make(Numbers, len(z))
	for j := range z {
		powers[j] = math.Exp(z[j] - shift)
	}
	total := addUp(powers)
	a := make(Numbers, len(z))
	for j := range z {
		a[j] = powers[j] / total
	}
	return a
}

func (softmax) Deltas(z, a, dLossDa Numbers) Numbers {
	// Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
	// Summed over all j that is a_k * (dL/da_k - average), where
	average := 0.0
	for j := range a {
		average += dLossDa[j] * a[j]
	}
	deltas := make(Numbers, len(a))
	for k := range a {
		deltas[k] = a[k] * (dLossDa[k] - average)
	}
	return deltas
}

// logSoftmax is the natural logarithm of softmax, without ever taking the logarithm of a 0.
type logSoftmax struct{}

func (logSoftmax) Activate(z Numbers) Numbers {
	shift := largest(z)
	total := 0.0
	for j := range z {
		total += math.Exp(z[j] - shift)
	}
	a := make(Numbers, len(z))
	for j := range z {
		a[j] = z[j] - shift - math.Log(total)
	}
	return a
}

func (logSoftmax) Deltas(z, a, dLossDa Numbers) Numbers {
	// da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
	total := addUp(dLossDa)
	deltas := make(Numbers, len(a))
	for k := range a {
		deltas[k] = dLossDa[k] - math.Exp(a[k])*total
	}
	return deltas
}

func sigmoid(z float64) float64 {
	// e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
	if z >= 0.0 {
		return 1.0 / (1.0 + math.Exp(-z))
	}
	power := math.Exp(z)
	return power / (1.0 + power)
}

// softplus is the same as ln(1 + e^z), but e^z would overflow. Log1p(x) is ln(1 + x), precise for a small x.
func softplus(z float64) float64 {
	return math.Max(0.0, z) + math.Log1p(math.Exp(-math.Abs(z)))
}

// probabilityBelow is P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z.
func probabilityBelow(z float64) float64 {
	return 0.5 * math.Erfc(-z/math.Sqrt2)
}

// bellCurve is dP/dz.
func bellCurve(z float64) float64 {
	return math.Exp(-0.5*z*z) / math.Sqrt(2.0*math.Pi)
}

func oneIf(condition bool) float64 {
	if condition {
		return 1.0
	}
	return 0.0
}

func addUp(numbers Numbers) float64 {
	total := 0.0
	for _, number := range numbers {
		total += number
	}
	return total
}

func largest(numbers Numbers) float64 {
	most := math.Inf(-1)
	for _, number := range numbers {
		most = math.Max(most, number)
	}
	return most
}

// valueOr is a parameter that the case may leave out.
func valueOr(number *Number, fallback float64) float64 {
	if number == nil {
		return fallback
	}
	return float64(*number)
}

// ------------------------------------------------------------------------------------------------
// Losses
// ------------------------------------------------------------------------------------------------

// Loss is how wrong the outputs of a sample are. Every output adds a term, which has a derivative with regard to a.
type Loss struct {
	term            func(a, t float64) float64
	derivative      func(a, t float64) float64
	meanOverOutputs bool // whether the sum of the terms is divided by their number
}

// ofSample is the loss of one sample.
func (l Loss) ofSample(a, t Numbers) float64 {
	total := 0.0
	for k := range a {
		total += l.term(a[k], t[k])
	}
	return total / l.divisor(a)
}

// dLossDa is dL/da of every output, where L is the loss of this one sample.
func (l Loss) dLossDa(a, t Numbers) Numbers {
	slopes := make(Numbers, len(a))
	for k := range a {
		slopes[k] = l.derivative(a[k], t[k]) / l.divisor(a)
	}
	return slopes
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
		return Loss{term: square, derivative: slopeOfSquare}
	},

	// The square of the error, averaged over the outputs.
	"mean_squared_error": func(*Number) Loss {
		return Loss{term: square, derivative: slopeOfSquare, meanOverOutputs: true}
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
	"huber": func(threshold *Number) Loss {
		limit := valueOr(threshold, 1.0)
		return Loss{
			term: func(a, t float64) float64 {
				size := math.Abs(a - t)
				if size <= limit {
					return 0.5 * size * size
				}
				return limit * (size - 0.5*limit)
			},
			derivative: func(a, t float64) float64 {
				if math.Abs(a-t) <= limit {
					return a - t
				}
				return limit * sign(a-t)
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

func slopeOfSquare(a, t float64) float64 { return 2.0 * (a - t) }

// sign is 1, -1, or 0 at the kink of |x|, where there is no slope.
func sign(x float64) float64 {
	switch {
	case x > 0.0:
		return 1.0
	case x < 0.0:
		return -1.0
	}
	return 0.0
}

// timesLog is t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
func timesLog(t, p float64) float64 {
	if t == 0.0 {
		return 0.0
	}
	return t * math.Log(p)
}

// divide is t / p, the derivative of t ln p with regard to p.
func divide(t, p float64) float64 {
	if t == 0.0 {
		return 0.0
	}
	return t / p
}

// OneStep is the output's activation and its loss in one, from z to the loss and back.
//
// Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer:
// nothing is divided by a probability that was rounded to 0, and no logarithm is taken of it.
type OneStep interface {
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
	for k, logA := range (logSoftmax{}).Activate(z) {
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
