"""Floods: frames that bring no work, which cost their sender nothing (CVE-2019-9512, -9515, -9518, CVE-2023-44487)."""
from _nghttp2 cimport (NGHTTP2_DATA, NGHTTP2_HEADERS, NGHTTP2_RST_STREAM, NGHTTP2_WINDOW_UPDATE, nghttp2_frame_hd)
from _work cimport Conn

cdef enum:
    IDLE_FRAMES_MAX = 20000   # between two sweeps of about a second
    RESETS_MAX = 2000

cdef inline bint floods(Conn* c, const nghttp2_frame_hd* hd) noexcept nogil:
    """Counts a frame; whether there are too many of its kind.  The counters are set back by the sweep."""
    if hd.type == NGHTTP2_DATA and hd.length or hd.type == NGHTTP2_HEADERS or hd.type == NGHTTP2_WINDOW_UPDATE:
        return False
    if hd.type == NGHTTP2_RST_STREAM:
        c.resets += 1
    c.idle_frames += 1
    return c.idle_frames > IDLE_FRAMES_MAX or c.resets > RESETS_MAX
