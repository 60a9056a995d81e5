"""counterfactuals."""
