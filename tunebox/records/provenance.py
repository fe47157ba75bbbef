"""With what a search was run: versions of the packages that matter, and the commit."""

import subprocess
from importlib.metadata import PackageNotFoundError, version

from tunebox import __version__

_PACKAGES = ("ray", "optuna", "torch", "mlflow")


def provenance_tags() -> dict[str, str]:
    """Return MLflow tags: versions, and the git commit when the work is done in a checkout."""
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
    """Return the commit checked out in the current folder; None outside a checkout."""
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):  # no git here, or a folder that hangs
        return None
    return result.stdout.strip() if result.returncode == 0 else None
