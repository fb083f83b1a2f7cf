module backprop-check-port

go 1.18
