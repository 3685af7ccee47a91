"""The variational auto-encoder with Bernoulli latents."""
