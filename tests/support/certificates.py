"""Certificates for one test: an authority, and what it signs. Made by `openssl`, valid for a day."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Certificate(NamedTuple):
    certificate: Path
    key: Path


class Authority:
    """Signs certificates in `folder`; trust `certificate`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = name
        self.certificate = folder / f"{name}.pem"
        self._run(
            "req", "-x509", *_KEY, "-subj", f"/CN={name}", "-days", "1", "-keyout", self._key, "-out", self.certificate
        )

    def sign(self, common_name: str, names: str = "", *, expired: bool = False) -> Certificate:
        """A certificate; `names` as in `IP:127.0.0.1,DNS:localhost`. An expired one ended a day ago."""
        file, days = (f"{common_name}-expired", "-1") if expired else (common_name, "1")
        made = Certificate(self._folder / f"{file}.pem", self._folder / f"{file}.key")
        request, extensions = self._folder / f"{file}.csr", self._folder / f"{file}.ext"
        extensions.write_text(f"subjectAltName={names}\n" if names else "")
        self._run("req", "-new", *_KEY, "-subj", f"/CN={common_name}", "-keyout", made.key, "-out", request)
        by = ["-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"]
        self._run("x509", "-req", "-in", request, *by, "-days", days, "-extfile", extensions, "-out", made.certificate)
        return made

    @property
    def _key(self) -> Path:
        return self._folder / f"{self._name}.key"

    @staticmethod
    def _run(*arguments: str | Path) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)
