"""The guide: backpropagation from first principles, neuron by neuron.

- ``*.md``: the chapters, in order; ``numbers.toml``: an expression for every number in them
- ``worked``: the worked network, from one neuron to the whole, and the names used in those expressions
- ``pictures``: the script that draws ``pictures/*.svg``; ``book``: the chapters for a terminal, or as one HTML page
"""
