"""The networks: modules of torch that read packed sequences, and their parts."""
