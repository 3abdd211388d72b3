# nothing for Python: see deadlines.pxd
