"""Provenance of a search: versions of the main packages, and the git commit."""

import subprocess
from importlib.metadata import PackageNotFoundError, version

from tunebox import __version__

_PACKAGES = ("ray", "optuna", "torch", "mlflow")


def provenance_tags() -> dict[str, str]:
    """Return MLflow tags with the versions and, in a checkout, the git commit."""
    tags = {"tunebox.version": __version__}
    for package in _PACKAGES:
        try:
            tags[f"tunebox.{package}_version"] = version(package)
        except PackageNotFoundError:
            continue
    commit = git_commit()
    if commit is not None:
        tags["mlflow.source.git.commit"] = commit
    return tags


def git_commit() -> str | None:
    """Return the commit that is checked out in the working directory, None outside a checkout."""
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):  # no git here, or a folder that hangs
        return None
    return result.stdout.strip() if result.returncode == 0 else None
