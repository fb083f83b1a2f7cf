"""The guide: backpropagation from nothing, neuron by neuron.

- ``*.md``: the chapters, in order; ``numbers.toml``: what every number in them is, as an expression
- ``worked``: the worked network, one neuron first and the whole at last, and the words of those expressions
- ``pictures``: the script that draws ``pictures/*.svg``; ``book``: the chapters for a terminal, or as one HTML page
"""
