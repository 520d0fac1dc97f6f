"""RMSNorm and LayerNorm over channels, and the norms of queries and keys (QK-norm). Must not know a layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.config import ModelConfig


class RMSNorm(nn.Module):
    """Divide by the root mean square, in float32 (Zhang and Sennrich 2019, arXiv 1910.07467)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """x (..., width), normalized: the same shape and number format."""
        return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.eps).to(x.dtype)


class HeadNorm(nn.Module):
    """Normalize each head by itself, with weights of its own."""

    def __init__(self, heads: int, config: ModelConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.normalize: Callable[..., Tensor] = F.rms_norm if config.norm == "rms" else F.layer_norm
        self.weight = nn.Parameter(torch.ones(heads, config.d_head))

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, heads, time, d_head), normalized over d_head: the same shape and number format."""
        flat = self.normalize(x.float(), x.shape[-1:], eps=self.eps)
        return (flat * self.weight[:, None].float()).to(x.dtype)


def make_norm(config: ModelConfig, width: int | None = None) -> nn.Module:
    """The model's norm over `width` channels; None for d_model."""
    kind: Callable[..., nn.Module] = RMSNorm if config.norm == "rms" else nn.LayerNorm
    return kind(width or config.d_model, eps=config.norm_eps)


def make_head_norm(config: ModelConfig, heads: int) -> nn.Module:
    """The norm of queries or keys with so many heads (QK-norm): Identity if the model has none."""
    if not config.qk_norm:
        return nn.Identity()
    if config.qk_norm_over == "own head":
        return HeadNorm(heads, config)
    return make_norm(config, config.d_head * (heads if config.qk_norm_over == "all heads" else 1))
