"""The case: what an implementation is asked to compute: a network, a batch, a loss, and how it is trained."""
