"""Certificates of 127.0.0.1, for a server and a client, and the authority that has signed them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")


class Authority:
    """A folder with the files of a CA, and certificates that it signed."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("there is no openssl to make certificates with")
        self.folder = folder
        folder.mkdir()
        self._run("req", "-x509", *NEW_KEY, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test CA")
        for name in ("server", "client"):
            self._run("req", *NEW_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
            (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
            signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext")
            self._run("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", *signed)

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def replace_by(self, other: Authority) -> None:
        for path in other.folder.iterdir():
            shutil.copy(path, self.folder / path.name)

    @property
    def client(self) -> dict[str, Any]:
        """What a gateway is configured with."""
        return {f"{what}_file": self.file(name) for what, name in FILES.items()}

    @property
    def server(self) -> list[str]:
        """What etcd is started with."""
        ours = (f"--cert-file={self.file('server.crt')}", f"--key-file={self.file('server.key')}")
        return [*ours, "--client-cert-auth", f"--trusted-ca-file={self.file('ca.crt')}"]

    def _run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True, timeout=20)


FILES = {"ca": "ca.crt", "cert": "client.crt", "key": "client.key"}
