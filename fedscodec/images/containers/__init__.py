"""What files have beside their samples: one module a format, bytes in and `Contents` out, and no pixel in any."""
