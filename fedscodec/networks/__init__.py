"""What is learned: the transforms, the hyperprior and the slice networks, all built from one `ModelSpec`."""
