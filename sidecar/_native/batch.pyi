# nothing for Python: see batch.pxd
