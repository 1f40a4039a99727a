"""The networks: transforms, hyperprior and slice networks, all built from one `ModelSpec`."""
