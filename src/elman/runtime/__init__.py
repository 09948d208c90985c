"""What compiled kernels need while they run: a cache of object code, threads and scratch memory."""
