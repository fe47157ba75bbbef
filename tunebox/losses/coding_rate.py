"""The coding rate of directions: large if they spread over all dimensions.

Shapes: N rows, D values of a row.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from tunebox.models.layers import unit_rows

Scaling = Literal["theory", "repository"]


def coding_rate(rows: Tensor, counts: Tensor, epsilon: float, scaling: Scaling) -> Tensor:
    """Return ``R = 1/2 log det(I + D / (n epsilon) M^T M)`` of rows scaled to length 1, in nats.

    Args:
        rows: ``(N, D)``.
        counts: ``(N,)``, float, 1 for a row that counts, 0 for one that is left out.
        epsilon: Above 0.
        scaling: ``theory`` has the factor ``D / (n epsilon)``; ``repository`` its inverse in D and
            n, as in the published code for the rows of a classifier.
    """
    directions = unit_rows(rows) * counts.unsqueeze(1)
    num_rows, dim = counts.sum().clamp(min=1), rows.shape[1]
    ratio = dim / num_rows if scaling == "theory" else num_rows / dim
    # both products have the same determinant; the smaller one is cheaper
    tall = rows.shape[0] > dim
    product = directions.T @ directions if tall else directions @ directions.T
    identity = torch.eye(len(product), dtype=rows.dtype, device=rows.device)
    # cholesky_ex does not wait for the device; the matrix is positive definite in any case
    factor: Tensor = torch.linalg.cholesky_ex(identity + ratio / epsilon * product).L
    return factor.diagonal().log().sum()
