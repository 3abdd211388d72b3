# nothing for Python: see client.pxd
