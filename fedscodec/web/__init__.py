"""A page that decodes .feds files in the browser: its sources, and what puts them into a folder with a network.

page/       what is served as it is: modules, style, kernels; no framework, nothing from elsewhere
kernels/    the C behind page/kernels*.wasm, and the command that compiles it
"""
