# Losses: how wrong the outputs of a sample are, and the slope of that.

include("activations.jl")

# How wrong one output neuron is, and the derivative of that. A sample's loss sums up its outputs'. `term` is one
# output's part of the loss, of its activation a and its target t, and `derivative` the derivative of that part with
# regard to a.

abstract type Loss end

"Whether that sum is divided by the number of outputs."
mean_over_outputs(::Loss) = false

"Gives the loss of one sample."
function of_sample(loss::Loss, a::Numbers, t::Numbers)
    total = add_up(term(loss, a_k, t_k) for (a_k, t_k) in zip(a, t))
    return mean_over_outputs(loss) ? total / length(a) : total
end

"Gives dL/da of every output, where L is the loss of this one sample."
function activation_gradients(loss::Loss, a::Numbers, t::Numbers)
    gradients = [derivative(loss, a_k, t_k) for (a_k, t_k) in zip(a, t)]
    return mean_over_outputs(loss) ? [gradient / length(a) for gradient in gradients] : gradients
end

"Half the square of the error a - t; the half is there to cancel the 2 of the derivative."
struct HalfSquaredError <: Loss end
term(::HalfSquaredError, a, t) = 0.5 * (a - t) * (a - t)
derivative(::HalfSquaredError, a, t) = a - t

"The square of the error."
struct SquaredError <: Loss end
term(::SquaredError, a, t) = (a - t) * (a - t)
derivative(::SquaredError, a, t) = 2.0 * (a - t)

"The square of the error, averaged over the outputs."
struct MeanSquaredError <: Loss end
mean_over_outputs(::MeanSquaredError) = true
term(::MeanSquaredError, a, t) = (a - t) * (a - t)
derivative(::MeanSquaredError, a, t) = 2.0 * (a - t)

"The size of the error, averaged over the outputs."
struct MeanAbsoluteError <: Loss end
mean_over_outputs(::MeanAbsoluteError) = true
term(::MeanAbsoluteError, a, t) = abs(a - t)
derivative(::MeanAbsoluteError, a, t) = sign(a - t) # 0 at the kink, where there is no slope

"Half the square of a small error; a straight line from there on for a large one."
struct Huber <: Loss
    threshold::Float64
end
mean_over_outputs(::Huber) = true
function term(loss::Huber, a, t)
    size = abs(a - t)
    return size <= loss.threshold ? 0.5 * size * size : loss.threshold * (size - 0.5 * loss.threshold)
end
derivative(loss::Huber, a, t) = abs(a - t) <= loss.threshold ? a - t : loss.threshold * sign(a - t)

"-[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1."
struct BinaryCrossEntropy <: Loss end
term(::BinaryCrossEntropy, a, t) = -(times_log(t, a) + times_log(1.0 - t, 1.0 - a))
derivative(::BinaryCrossEntropy, a, t) = -(divide(t, a) - divide(1.0 - t, 1.0 - a))

"-t ln a: how surprising t is, where the outputs a are the probabilities of the classes."
struct CrossEntropy <: Loss end
term(::CrossEntropy, a, t) = -times_log(t, a)
derivative(::CrossEntropy, a, t) = -divide(t, a)

"-t a: cross-entropy where the output already is a logarithm (the activation log_softmax)."
struct NegativeLogLikelihood <: Loss end
term(::NegativeLogLikelihood, a, t) = -t * a
derivative(::NegativeLogLikelihood, a, t) = -t

"max(0, 1 - t a), where t is -1 or 1: nothing to pay on the right side, from a margin of 1 on."
struct Hinge <: Loss end
term(::Hinge, a, t) = max(0.0, 1.0 - t * a)
derivative(::Hinge, a, t) = 1.0 - t * a > 0.0 ? -t : 0.0

"How to make each loss. Only one has a parameter; it is nothing where the case brings none."
const LOSSES = Dict{String,Function}(
    "half_squared_error" => threshold -> HalfSquaredError(),
    "squared_error" => threshold -> SquaredError(),
    "mean_squared_error" => threshold -> MeanSquaredError(),
    "mean_absolute_error" => threshold -> MeanAbsoluteError(),
    "huber" => threshold -> Huber(something(threshold, 1.0)),
    "binary_cross_entropy" => threshold -> BinaryCrossEntropy(),
    "cross_entropy" => threshold -> CrossEntropy(),
    "negative_log_likelihood" => threshold -> NegativeLogLikelihood(),
    "hinge" => threshold -> Hinge(),
)

# The output's activation and its loss in one step, from z to the loss and back: `of_sample` gives the loss of one
# sample from z, and `deltas` gives dL/dz of every output.
#
# Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer: nothing is
# divided by a probability that was rounded to 0, and no logarithm is taken of it.

abstract type OneStep end

"With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z)."
struct SigmoidWithBinaryCrossEntropy <: OneStep end

of_sample(::SigmoidWithBinaryCrossEntropy, z::Numbers, t::Numbers) =
    add_up(t_k * softplus(-z_k) + (1.0 - t_k) * softplus(z_k) for (z_k, t_k) in zip(z, t))

# dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
deltas(::SigmoidWithBinaryCrossEntropy, a::Numbers, t::Numbers) = [a_k - t_k for (a_k, t_k) in zip(a, t)]

"With a = softmax(z), ln a is log_softmax(z)."
struct SoftmaxWithCrossEntropy <: OneStep end

of_sample(::SoftmaxWithCrossEntropy, z::Numbers, t::Numbers) =
    add_up(-t_k * log_a for (t_k, log_a) in zip(t, log_softmax(z)))

# Put dL/da = -t / a into the chain rule of Softmax, and a * (sum of t) - t is left.
function deltas(::SoftmaxWithCrossEntropy, a::Numbers, t::Numbers)
    total = add_up(t) # 1 for probabilities, and then this is the well-known a - t
    return [a_k * total - t_k for (a_k, t_k) in zip(a, t)]
end

"The pairs that have a step of their own, by the names of activation and loss."
const IN_ONE_STEP = Dict{Tuple{String,String},OneStep}(
    ("sigmoid", "binary_cross_entropy") => SigmoidWithBinaryCrossEntropy(),
    ("softmax", "cross_entropy") => SoftmaxWithCrossEntropy(),
)
