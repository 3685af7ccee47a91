"""The categorical variational auto-encoder."""
