"""From data to a saved model and its report: what is done for each task, and the baselines."""
