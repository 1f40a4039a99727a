"""Files in and out: names, standard streams, one atomic write."""
