"""How much a gateway or a collector has to do, what it will have to do soon, and whether it is well."""
