"""A page that decodes .feds files in the browser: its sources, and the code that exports it with its networks.

page/       what is served as it is: modules, style, kernels; no framework, nothing from elsewhere
kernels/    the C behind page/kernels*.wasm, and the command that compiles it
"""
