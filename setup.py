"""Builds native/*.pyx into sidecar._native.*; everything else is in pyproject.toml.

SPANGATE_SANITIZE=1 builds with AddressSanitizer and UndefinedBehaviorSanitizer, SPANGATE_ANNOTATE=1 writes the HTML of
Cython.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup

Options.warning_errors = True

LIBRARIES = {
    "answer": ["nghttp2"],
    "client": ["nghttp2"],
    "gzip": ["deflate", "isal"],
    "server": ["nghttp2"],
    "sockets": ["nghttp2"],
}
SANITIZE = os.environ.get("SPANGATE_SANITIZE") == "1"
CFLAGS = ["-O3", "-g", "-fno-omit-frame-pointer", "-fno-strict-aliasing", "-Wno-unused-function"]
if SANITIZE:
    CFLAGS = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-Wno-unused-function"]

extensions = [
    Extension(
        f"sidecar._native.{source.stem}",
        [str(source)],
        libraries=LIBRARIES.get(source.stem, []),
        extra_compile_args=CFLAGS,
        extra_link_args=["-fsanitize=address,undefined"] if SANITIZE else [],
        depends=[str(p) for p in [*Path("native").glob("*.pxd"), *Path("sidecar/_native").glob("*.pxd")]],
    )
    for source in sorted(Path("native").glob("*.pyx"))
]

setup(
    ext_modules=cythonize(
        extensions,
        include_path=["native", "."],
        nthreads=os.cpu_count() or 1,
        annotate=os.environ.get("SPANGATE_ANNOTATE") == "1",
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
        },
    )
)
