"""Whatever decides with which table a symbol is coded is an integer, from z_hat to the table index; what
comes after the symbols may be float.

A float that chooses a table ties a file to the machine that wrote it: one last bit that comes out
differently, one wrong table, and every symbol after it is noise. So the networks of this side run on
integers, the frequencies are integers which are shipped with the weights, and the stream coder is built
from them without any rounding.
"""
