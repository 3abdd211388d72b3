"""The kernels against oracles: slow, readable Python that shares no code with them."""
