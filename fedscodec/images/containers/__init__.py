"""Read what files have besides their samples: one module per format, from bytes to `Contents`, without pixels."""
