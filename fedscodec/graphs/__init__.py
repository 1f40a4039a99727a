"""Light networks as ONNX graphs, and ONNX Runtime, which runs them; no torch in this room.

protobuf      an ONNX file as bytes          transforms    g_a, h_a and g_s of a spec and its arrays
building      nodes, one after the other     integers      h_s and the net of each part, exact in float32
sessions      ONNX Runtime                   side          the entropy side that the walk asks, in numpy

Graphs are made from the weights file itself when it is loaded, and by `feds export --onnx`. Which layers a network has
and how maps go through them is written once, for torch and for graphs, in three files of `networks`: `stages`,
`light_layers` and `exact_nets`.
"""
