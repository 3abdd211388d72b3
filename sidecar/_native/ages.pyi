# nothing for Python: see ages.pxd
