"""What is asked of an implementation: a network, a batch and a loss, and how it is trained."""
