"""What Ray's own checks of a cluster configuration leave out: keys that nothing reads.

Ray checks the top level and the node types against its schema. A wrong key in ``provider`` or
``node_config`` passes there. Here the keys of ``provider`` are held against what the source of the
provider reads, and a ``node_config`` for AWS against the service description of EC2.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import ray.autoscaler
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config

_SOURCE = Path(ray.autoscaler.__file__).parent / "_private"
_RAYS_OWN = ("SubnetIds",)  # Ray launches in each of them by turns; EC2 knows SubnetId


def problems(config: dict[str, Any]) -> list[str]:
    """Return what is wrong with a configuration, a line each.

    Raises:
        jsonschema.ValidationError, ValueError: From Ray's own checks.
    """
    validate_config(prepare_config(config))
    provider = config["provider"]
    known = provider_keys(provider["type"])
    found = [f"provider/{key} is read by nothing" for key in provider if key not in known]
    if provider["type"] == "aws":
        for name, node_type in config["available_node_types"].items():
            found += [f"{name}: {line}" for line in _ec2_problems(node_type["node_config"])]
    return found


def provider_keys(kind: str) -> set[str]:
    """Return the keys of ``provider`` that Ray's source reads for a type of provider."""
    files = [*(_SOURCE / kind).rglob("*.py"), *_SOURCE.glob("*.py")]
    assert len(files) > 10
    return {key for path in files for key in _keys_read(ast.parse(path.read_text()))}


def _keys_read(tree: ast.AST) -> Iterator[str]:
    """Give each KEY of provider_config["KEY"], config["provider"].get("KEY") and the like."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=base, slice=ast.Constant(value=str(key))):
                pass
            case ast.Call(
                func=ast.Attribute(value=base, attr="get"), args=[ast.Constant(value=str(key)), *_]
            ):
                pass
            case ast.Compare(left=ast.Constant(value=str(key)), comparators=[base]):
                pass
            case _:
                continue
        if ast.unparse(base).endswith(("provider_config", "['provider']")):
            yield key


def _ec2_problems(node_config: dict[str, Any]) -> list[str]:
    request = {key: value for key, value in node_config.items() if key not in _RAYS_OWN}
    service = botocore.session.get_session().get_service_model("ec2")
    shape = service.operation_model("RunInstances").input_shape
    report = ParamValidator().validate({"MinCount": 1, "MaxCount": 1, **request}, shape)
    lines: list[str] = report.generate_report().splitlines()
    return lines
