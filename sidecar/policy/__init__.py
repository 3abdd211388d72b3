"""All that the data plane decides by, as one immutable value: compiled once, sealed, mapped by every worker."""
