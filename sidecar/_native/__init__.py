"""The compiled data plane.  Sources are in native/*.pyx; here are their faces: .pyi for Python, .pxd for each other."""
