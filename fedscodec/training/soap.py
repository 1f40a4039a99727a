"""SOAP (Vyas et al. 2024) for many matrices of a few hundred rows: the library's, with quicker products.

A step of SOAP turns every gradient into the eigenbasis of its statistics and back. For the light student the products
of these turns took as long as a third of the forward and backward pass. So they are computed in the precision of the
transforms, and sides wider than WIDEST stay unturned, which takes a third of the time. Statistics, decompositions and
weights remain in float32.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

WIDEST = 320
"""Longest side of a matrix that is turned; of a wider matrix SOAP turns the other side only."""


def soap(groups: list[dict[str, Any]], every: int, precision: torch.dtype) -> torch.optim.Optimizer:
    """SOAP that decomposes its statistics every few steps; without weight decay, which the library has by default."""
    optimizer: torch.optim.Optimizer = _kind()(
        groups, betas=(0.95, 0.95), weight_decay=0.0, precondition_frequency=every, max_precondition_dim=WIDEST
    )
    optimizer.precision = precision  # type: ignore[attr-defined]
    return optimizer


@cache
def _kind() -> Any:
    from pytorch_optimizer import SOAP

    class MatrixSOAP(SOAP):
        """The library's, where a gradient that is no matrix is treated as there."""

        precision = torch.float32

        def project(
            self, grad: Tensor, state: Any, merge_dims: bool = False, max_precondition_dim: int = WIDEST,
            project_type: str = "forward",
        ) -> Tensor:  # fmt: skip
            if grad.ndim != 2:
                turned: Tensor = super().project(grad, state, merge_dims, max_precondition_dim, project_type)
                return turned
            left, right = (basis.to(self.precision) if len(basis) else None for basis in state["Q"])
            if project_type != "forward":
                left, right = (basis if basis is None else basis.t() for basis in (left, right))
            return _product(None if left is None else left.t(), grad.to(self.precision), right).to(grad.dtype)

        def update_pre_conditioner(
            self, grad: Tensor, state: Any, step: int, max_precondition_dim: int = WIDEST,
            precondition_1d: bool = False, merge_dims: bool = False,
        ) -> None:  # fmt: skip
            if grad.ndim != 2:
                super().update_pre_conditioner(grad, state, step, max_precondition_dim, precondition_1d, merge_dims)
                return
            quick, weight = grad.to(self.precision), 1 - state["shampoo_beta"]
            for side, matrix in zip(state["GG"], (quick, quick.t()), strict=True):
                if len(side):
                    side.lerp_((matrix @ matrix.t()).to(side.dtype), weight)
            if state["Q"] is None:
                state["Q"] = self.get_orthogonal_matrix(state["GG"])
            elif step > 0 and step % state["precondition_frequency"] == 0:
                state["Q"] = self.get_orthogonal_matrix_qr(state)

    return MatrixSOAP


def _product(left: Tensor | None, middle: Tensor, right: Tensor | None) -> Tensor:
    turned = middle if left is None else left @ middle
    return turned if right is None else turned @ right
