"""The feed-forward part of a layer (MLP), plain, gated (SwiGLU, GeGLU) or as a mixture of experts (MoE).

Each token goes through it on its own. Must not know another layer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.config import ModelConfig

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}


class FeedForward(nn.Module):
    """Through a wider layer and back.

    Gated, down(activation(gate(x)) * up(x)): SwiGLU with silu, GeGLU with gelu (Shazeer 2020, arXiv 2002.05202).
    Otherwise down(activation(up(x))).
    """

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.up = nn.Linear(config.d_model, width, bias=config.mlp_bias)
        self.gate = nn.Linear(config.d_model, width, bias=config.mlp_bias) if config.gated else None
        self.down = nn.Linear(width, config.d_model, bias=config.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        """What feed-forward makes of x (..., d_model): the same shape."""
        wide = self.up(x)  # (..., width)
        wide = self.activation(wide) if self.gate is None else self.activation(self.gate(x)) * wide
        out: Tensor = self.down(wide)  # (..., d_model)
        return out


class Experts(nn.Module):
    """Mixture of experts (MoE): several feed-forwards, of which each token uses the few that the router ranks highest.

    Their outputs are added up, weighted by the router's probabilities (Shazeer et al. 2017, arXiv 1701.06538).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_used, self.renormalised = config.n_experts_used, config.renormalised
        self.router = nn.Linear(config.d_model, config.n_experts, bias=False)
        self.experts = nn.ModuleList(FeedForward(config, config.d_expert) for _ in range(config.n_experts))

    def forward(self, x: Tensor) -> Tensor:
        """What the experts make of x (..., d_model): the same shape."""
        tokens = x.flatten(0, -2)  # (tokens, d_model)
        shares, chosen = self.route(tokens)
        out = torch.zeros_like(tokens)
        for n in sorted(set(chosen.flatten().tolist())):  # the matrices of experts nobody chose are not read
            token, rank = (chosen == n).nonzero(as_tuple=True)  # who chose it, and as which of its choices
            weighted = self.experts[n](tokens[token]) * shares[token, rank, None]  # (tokens that chose it, d_model)
            out.index_add_(0, token, weighted.to(out.dtype))
        return out.view_as(x)

    def route(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The router: top-k of a softmax over the experts.

        Args:
            tokens: (tokens, d_model)

        Returns:
            Shares (they sum to 1 if `renormalised`) and numbers of the experts, each (tokens, n_experts_used).
        """
        shares, chosen = self.router(tokens).softmax(-1, dtype=torch.float32).topk(self.n_used)
        return (shares / shares.sum(-1, keepdim=True) if self.renormalised else shares), chosen


def make_feed_forward(config: ModelConfig, layer: int) -> nn.Module:
    """The feed-forward part of this layer: in a model with experts, some layers may still have a plain one."""
    return Experts(config) if layer in config.expert_layers else FeedForward(config, config.d_ff)
