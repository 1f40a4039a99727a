"""Effort: the latents of one picture, refined against R + λ·D before they are coded. Decoders know nothing of it."""
