# nothing for Python: see fate.pxd
