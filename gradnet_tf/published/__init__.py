"""Reads the published weights of other denoisers into our Keras models.

`matlab_file` and `torch_file` turn a file into named arrays, without MATLAB,
without PyTorch and without running anything a file asks for; `networks` tells
from the arrays which network they are, builds it and puts every one of them in
its place, or says which one it cannot place.
"""
