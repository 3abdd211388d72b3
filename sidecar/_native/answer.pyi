# nothing for Python: see answer.pxd
