// Activations: what a layer makes of its pre-activations z, and the way back.
//
// a is a neuron's activation, and delta is dL/dz, the slope of the loss L with regard to z.
package main

import "math"

// Activation is what a layer makes of its z, and the way back.
type Activation interface {
	// activate gives a, the activations of a layer.
	activate(z Numbers) Numbers
	// deltas gives dL/dz of a layer, from its dL/da.
	deltas(z, a, activationGradients Numbers) Numbers
}

// neuronActivation is a function of one neuron's z, and its derivative. Most activations are of this kind.
//
// value(z) is a, the activation, and derivative(z, a) is da/dz. Both z and a are at hand: some derivatives are simpler
// in one, some in the other.
type neuronActivation struct {
	value      func(z float64) float64
	derivative func(z, a float64) float64
}

func (f neuronActivation) activate(z Numbers) Numbers {
	a := make(Numbers, len(z))
	for j := range z {
		a[j] = f.value(z[j])
	}
	return a
}

// deltas is the chain rule: dL/dz = dL/da * da/dz.
func (f neuronActivation) deltas(z, a, activationGradients Numbers) Numbers {
	deltas := make(Numbers, len(z))
	for j := range z {
		deltas[j] = activationGradients[j] * f.derivative(z[j], a[j])
	}
	return deltas
}

// activations has how to make each of them, with their parameter alpha, which only two have.
var activations = map[string]func(alpha *Number) Activation{
	"identity": func(*Number) Activation {
		return neuronActivation{
			value:      func(z float64) float64 { return z },
			derivative: func(z, a float64) float64 { return 1.0 },
		}
	},

	// 1 / (1 + e^-z): any number squeezed into 0..1.
	"sigmoid": func(*Number) Activation {
		return neuronActivation{
			value:      sigmoid,
			derivative: func(z, a float64) float64 { return a * (1.0 - a) },
		}
	},

	// The hyperbolic tangent: any number squeezed into -1..1.
	"tanh": func(*Number) Activation {
		return neuronActivation{
			value:      math.Tanh,
			derivative: func(z, a float64) float64 { return 1.0 - a*a },
		}
	},

	// z where it is positive, else 0. At z = 0 there is a kink and no slope; 0 is the usual convention.
	"relu": func(*Number) Activation {
		return neuronActivation{
			value:      func(z float64) float64 { return math.Max(0.0, z) },
			derivative: func(z, a float64) float64 { return oneIf(z > 0.0) },
		}
	},

	// Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead.
	"leaky_relu": func(given *Number) Activation {
		alpha := valueOr(given, 0.01)
		return neuronActivation{
			value: func(z float64) float64 {
				if z > 0.0 {
					return z
				}
				return alpha * z
			},
			derivative: func(z, a float64) float64 {
				if z > 0.0 {
					return 1.0
				}
				return alpha
			},
		}
	},

	// Like ReLU, but bending smoothly to -alpha. Expm1(z) is e^z - 1 without the digits that the minus loses.
	"elu": func(given *Number) Activation {
		alpha := valueOr(given, 1.0)
		return neuronActivation{
			value: func(z float64) float64 {
				if z > 0.0 {
					return z
				}
				return alpha * math.Expm1(z)
			},
			derivative: func(z, a float64) float64 {
				if z > 0.0 {
					return 1.0
				}
				return alpha * math.Exp(z)
			},
		}
	},

	// ln(1 + e^z): a smooth ReLU.
	"softplus": func(*Number) Activation {
		return neuronActivation{
			value:      softplus,
			derivative: func(z, a float64) float64 { return sigmoid(z) },
		}
	},

	// z / (1 + |z|): like tanh, but slower to reach -1 and 1.
	"softsign": func(*Number) Activation {
		return neuronActivation{
			value:      func(z float64) float64 { return z / (1.0 + math.Abs(z)) },
			derivative: func(z, a float64) float64 { return 1.0 / ((1.0 + math.Abs(z)) * (1.0 + math.Abs(z))) },
		}
	},

	// z * sigmoid(z), also called swish. The derivative is the product rule.
	"silu": func(*Number) Activation {
		return neuronActivation{
			value:      func(z float64) float64 { return z * sigmoid(z) },
			derivative: func(z, a float64) float64 { return sigmoid(z) + z*sigmoid(z)*(1.0-sigmoid(z)) },
		}
	},

	// z * P(z), P(z) the probability that a standard normal number is below z. Again the product rule.
	"gelu": func(*Number) Activation {
		return neuronActivation{
			value:      func(z float64) float64 { return z * normalProbability(z) },
			derivative: func(z, a float64) float64 { return normalProbability(z) + z*normalDensity(z) },
		}
	},

	// z, cut off at -1 and 1.
	"hard_tanh": func(*Number) Activation {
		return neuronActivation{
			value:      func(z float64) float64 { return math.Min(1.0, math.Max(-1.0, z)) },
			derivative: func(z, a float64) float64 { return oneIf(-1.0 < z && z < 1.0) },
		}
	},

	"softmax":     func(*Number) Activation { return softmax{} },
	"log_softmax": func(*Number) Activation { return logSoftmax{} },
}

// softmax is e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1.
type softmax struct{}

func (softmax) activate(z Numbers) Numbers {
	// Taking the largest z off all of them changes no quotient, and no power can overflow.
	largest := largestOf(z)
	powers := make(Numbers, len(z))
	for j := range z {
		powers[j] = math.Exp(z[j] - largest)
	}
	total := addUp(powers)
	a := make(Numbers, len(z))
	for j := range z {
		a[j] = powers[j] / total
	}
	return a
}

func (softmax) deltas(z, a, activationGradients Numbers) Numbers {
	// Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
	// Summed over all j that is a_k * (dL/da_k - average), where
	average := 0.0
	for j := range a {
		average += activationGradients[j] * a[j]
	}
	deltas := make(Numbers, len(a))
	for k := range a {
		deltas[k] = a[k] * (activationGradients[k] - average)
	}
	return deltas
}

// logSoftmax is the natural logarithm of softmax, without ever taking the logarithm of a 0.
type logSoftmax struct{}

func (logSoftmax) activate(z Numbers) Numbers {
	largest := largestOf(z)
	total := 0.0
	for j := range z {
		total += math.Exp(z[j] - largest)
	}
	a := make(Numbers, len(z))
	for j := range z {
		a[j] = z[j] - largest - math.Log(total)
	}
	return a
}

func (logSoftmax) deltas(z, a, activationGradients Numbers) Numbers {
	// da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
	total := addUp(activationGradients)
	deltas := make(Numbers, len(a))
	for k := range a {
		deltas[k] = activationGradients[k] - math.Exp(a[k])*total
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

// normalProbability is P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z.
func normalProbability(z float64) float64 {
	return 0.5 * math.Erfc(-z/math.Sqrt2)
}

// normalDensity is dP/dz, the bell curve.
func normalDensity(z float64) float64 {
	return math.Exp(-0.5*z*z) / math.Sqrt(2.0*math.Pi)
}
