# nothing for Python: see gzip.pxd
