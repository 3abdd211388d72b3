# nothing for Python: see sockets.pxd
