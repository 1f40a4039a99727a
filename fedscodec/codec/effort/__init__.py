"""Effort: refine the latents of one picture for R + λ·D before they are coded. Decoders do not change."""
