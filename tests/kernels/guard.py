"""Memory that ends where the message ends: the byte behind it is on a page that may not be touched."""

import ctypes
import mmap

PAGE = mmap.PAGESIZE
LIBC = ctypes.CDLL(None, use_errno=True)


class Guard:
    """A mapping whose last page faults when it is read."""

    def __init__(self, size: int) -> None:
        self.size = (size + PAGE - 1) // PAGE * PAGE
        self.map = mmap.mmap(-1, self.size + PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        if LIBC.mprotect(ctypes.c_void_p(start + self.size), ctypes.c_size_t(PAGE), 0) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")
        self.view = memoryview(self.map)

    def place(self, body: bytes) -> memoryview:
        """The body, right before the page."""
        at = self.size - len(body)
        if at < 0:
            raise ValueError("too long a body")
        self.view[at : self.size] = body
        return self.view[at : self.size]
