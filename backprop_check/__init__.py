"""backprop-check: a conformance suite for backpropagation, neuron by neuron."""

__version__ = "0.1.0"
