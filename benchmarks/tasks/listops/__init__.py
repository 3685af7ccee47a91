"""ListOps with a Tree-LSTM that chooses its own tree."""
