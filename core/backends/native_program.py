"""What the C library has to do for one token of a model, written down once: the transformer as a list of operations.

Follows `Block.forward` in core/transformer.py; whatever changes there changes here. Must not know how an operation is
carried out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ctypes import addressof
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.layers.attention import Attention
from core.layers.feed_forward import Experts, FeedForward
from core.native import bindings as c
from core.native.bindings import MAX_PREFILL_TOKENS, MAX_STEP_TOKENS, PANEL, Heads, Matrix, Norm, Operation, Rows
from core.native.quantize import FORMATS, matrix_of
from core.quantization.formats import GROUP
from core.quantization.packed import Packed, QuantizedEmbedding, QuantizedLinear
from core.transformer import Block, Transformer

_ACTIVATIONS = {"silu": c.SILU, "gelu": c.GELU, "gelu_tanh": c.GELU_TANH, "relu": c.RELU}
_NO_NORM = Norm(kind=c.NO_NORM)


class Program:
    """The operations for the hidden state of a token, those for its logits, both, and the memory they work in.

    Weights are not copied: the operations point at the transformer's own, which must therefore outlive the plan.
    """

    def __init__(self, transformer: Transformer, dtype: torch.dtype, *, many: bool = False) -> None:
        """
        Args:
            many: for `MAX_PREFILL_TOKENS` read at once, and none of their logits.
        """
        config = transformer.config
        self._many = many
        self._transformer = transformer
        self._config = config
        self._dtype = dtype
        self._kept: list[Any] = []  # what the operations point at
        self._columns = 0
        self._x = self._rows(config.d_model)  # the residual stream
        self._branch = self._rows(config.d_model)  # what a layer adds, where it is not added at once
        self._heads = self._rows((config.n_heads + 2 * config.n_kv_heads) * config.d_head)
        self._mixed = self._rows(config.n_heads * config.d_head, pairs=many)
        self._wide = self._rows(config.d_ff, pairs=many)
        forward = [self._embed(), *(op for number in range(config.n_layers) for op in self._layer(number))]
        final = self._normalise(self._x, self._branch, transformer.norm)
        final.keep = True
        unembed = [] if many else [self._recall(), self._unembed()]
        self.forward = _array([*forward, final])
        self.unembed = _array(unembed)
        self.decode = _array([*self.forward, *unembed])

    @property
    def columns(self) -> int:
        """The most columns that any matrix has."""
        return self._columns

    # --- the transformer ----------------------------------------------------------------------------------------------

    def _embed(self) -> Operation:
        transformer, config = self._transformer, self._config
        matrices = [self._table(transformer.embedding)]
        if config.positions == "learned":
            matrices.append(self._table(transformer.position_embedding))
        if config.positions == "sinusoidal":
            matrices.append(self._plain(transformer.position_table.to(self._dtype)))
        scale = torch.tensor(config.embedding_scale, dtype=self._dtype).item()
        return _operation(c.EMBED, self._branch, self._x, matrices=matrices, width=config.d_model, scale=scale)

    def _layer(self, number: int) -> Iterator[Operation]:
        block: Any = self._transformer.blocks[number]
        x, branch = self._x, self._branch
        match self._config.residual:
            case "pre":
                yield from self._attention(block, block.attention_norm, x, add=True)
                yield from self._feed_forward(block, block.feed_forward_norm, x, add=True)
            case "post":
                yield from self._attention(block, block.attention_norm, x, add=True)
                yield self._normalise(x, x, block.attention_sum_norm)
                yield from self._feed_forward(block, block.feed_forward_norm, x, add=True)
                yield self._normalise(x, x, block.feed_forward_sum_norm)
            case "sandwich" | "branch":
                yield from self._attention(block, block.attention_norm, branch)
                yield self._normalise(branch, x, block.attention_out_norm, add=True)
                yield from self._feed_forward(block, block.feed_forward_norm, branch)
                yield self._normalise(branch, x, block.feed_forward_out_norm, add=True)
            case "parallel" | "parallel, two norms":
                own = self._config.residual == "parallel, two norms"
                yield from self._attention(block, block.attention_norm, branch)
                norm = block.feed_forward_norm if own else block.attention_norm
                yield from self._feed_forward(block, norm, branch, add=True)
                yield self._normalise(branch, x, nn.Identity(), add=True)

    def _attention(self, block: Block, norm: nn.Module, output: Rows, *, add: bool = False) -> Iterator[Operation]:
        config, attention = self._config, block.attention
        yield from self._linear(self._x, self._heads, [attention.query, attention.key, attention.value], norm=norm)
        if attention.norm_across_heads:
            queries, keys = config.n_heads * config.d_head, config.n_kv_heads * config.d_head
            for module, start, width in ((attention.query_norm, 0, queries), (attention.key_norm, queries, keys)):
                part = self._from(self._heads, start)
                yield self._normalise(part, part, module, width=width)
        heads = self._heads_of(attention)
        yield _operation(c.HEADS, self._heads, self._heads, heads=heads)
        yield _operation(c.ATTEND, self._heads, self._mixed, heads=heads)
        yield from self._linear(self._mixed, output, [attention.output], add=add, scale=self._scale_of(output))

    def _heads_of(self, attention: Attention) -> Heads:
        config, layer = self._config, attention.layer
        windowed = layer in config.windowed_layers
        turned = config.positions == "rope" and layer not in config.nope_layers
        rope = (config.rope_local if windowed else None) or config.rope
        norms = [_NO_NORM] * 2
        if config.qk_norm and not attention.norm_across_heads:
            norms = [self._norm(attention.query_norm), self._norm(attention.key_norm)]
        return Heads(
            layer=layer,
            n_heads=config.n_heads,
            n_kv_heads=config.n_kv_heads,
            d_head=config.d_head,
            turns=int(windowed) if turned else -1,
            rotary_width=rope.width or config.d_head,
            window=config.window if windowed else 0,
            norm_per_head=config.qk_norm_over == "own head",
            scale=attention.scale,
            softcap=attention.softcap or 0.0,
            query_norm=norms[0],
            key_norm=norms[1],
        )

    def _feed_forward(self, block: Block, norm: nn.Module, output: Rows, *, add: bool = False) -> Iterator[Operation]:
        layer = block.feed_forward
        if isinstance(layer, Experts):
            yield from self._mixture(layer, norm, output, add=add)
            return
        assert isinstance(layer, FeedForward)
        activation = _ACTIVATIONS[self._config.activation]
        matrices = [layer.up] if layer.gate is None else [layer.gate, layer.up]
        gated = layer.gate is not None
        yield from self._linear(self._x, self._wide, matrices, norm=norm, activation=activation, gated=gated)
        yield from self._linear(self._wide, output, [layer.down], add=add, scale=self._scale_of(output))

    def _mixture(self, layer: Experts, norm: nn.Module, output: Rows, *, add: bool) -> Iterator[Operation]:
        config = self._config
        matrices = (Matrix * (3 * config.n_experts))()
        for number, expert in enumerate(layer.experts):
            for place, module in enumerate((expert.gate, expert.up, expert.down)):
                if module is not None:
                    matrices[3 * number + place] = self._matrix(module)
        self._kept.append(matrices)
        experts = c.Experts(
            n_experts=config.n_experts,
            n_used=config.n_experts_used,
            renormalised=config.renormalised,
            matrices=addressof(matrices),
            choice=self._rows(2 * config.n_experts_used),
        )
        scores, wide = self._rows(config.n_experts), self._rows(config.n_experts_used * config.d_expert)
        yield from self._linear(self._x, scores, [layer.router], norm=norm)
        yield _operation(c.ROUTE, scores, scores, experts=experts)
        yield _operation(
            c.EXPERTS_IN,
            self._x,
            wide,
            norm=self._norm(norm),
            experts=experts,
            activation=_ACTIVATIONS[config.activation],
            gated=config.gated,
        )
        yield _operation(c.EXPERTS_OUT, wide, output, experts=experts, add=add, scale=self._scale_of(output))

    def _scale_of(self, output: Rows) -> float:
        """What a layer adds is scaled when it is added to the residual stream."""
        return self._config.residual_scale if output is self._x else 1.0

    def _recall(self) -> Operation:
        return _operation(c.RECALL, self._branch, self._branch, width=self._config.d_model)

    def _unembed(self) -> Operation:
        logits = Rows(at=None, stride=self._config.vocab_size)
        (operation,) = self._linear(self._branch, logits, [self._transformer.head], scale=self._config.logit_scale)
        operation.softcap = self._config.logit_softcap or 0.0
        return operation

    # --- the parts of operations --------------------------------------------------------------------------------------

    def _linear(
        self,
        source: Rows,
        output: Rows,
        modules: Sequence[nn.Module],
        *,
        norm: nn.Module | None = None,
        activation: int = c.NO_ACTIVATION,
        gated: bool = False,
        add: bool = False,
        scale: float = 1.0,
    ) -> Iterator[Operation]:
        yield _operation(
            c.LINEAR,
            source,
            output,
            norm=self._norm(norm),
            matrices=[self._matrix(module) for module in modules],
            activation=activation,
            gated=gated,
            add=add,
            scale=scale,
        )

    def _normalise(
        self, source: Rows, output: Rows, module: nn.Module, *, add: bool = False, width: int | None = None
    ) -> Operation:
        scale = self._config.residual_scale if add else 1.0
        width = width or self._config.d_model
        self._columns = max(self._columns, width)
        return _operation(c.NORM, source, output, norm=self._norm(module), width=width, add=add, scale=scale)

    def _norm(self, module: Any) -> Norm:
        if module is None or isinstance(module, nn.Identity):
            return _NO_NORM
        return Norm(
            kind=c.RMS_NORM if self._config.norm == "rms" else c.LAYER_NORM,
            eps=module.eps,
            weight=self._floats(module.weight),
            bias=self._floats(getattr(module, "bias", None)),
        )

    def _matrix(self, module: Any) -> Matrix:
        bias = self._floats(module.bias)
        if isinstance(module, QuantizedLinear):
            return self._packed(module.packed, bias)
        return self._plain(module.weight, bias)

    def _table(self, module: Any) -> Matrix:
        return self._packed(module.packed) if isinstance(module, QuantizedEmbedding) else self._plain(module.weight)

    def _plain(self, weight: Tensor, bias: int | None = None) -> Matrix:
        weight = weight.contiguous()
        self._kept.append(weight)
        rows, columns = weight.shape
        self._columns = max(self._columns, columns)
        return Matrix(format=FORMATS[weight.dtype], rows=rows, columns=columns, weights=weight.data_ptr(), bias=bias)

    def _packed(self, packed: Packed, bias: int | None = None) -> Matrix:
        self._kept.append(packed)
        self._columns = max(self._columns, packed.columns)
        matrix = matrix_of(packed)
        matrix.bias = bias
        return matrix

    def _floats(self, vector: Tensor | None) -> int | None:
        """The address of a vector in float32: these are small."""
        if vector is None:
            return None
        copy = vector.detach().float().contiguous()
        self._kept.append(copy)
        return copy.data_ptr()

    def _rows(self, width: int, *, pairs: bool = False) -> Rows:
        """Memory that is only taken once it is written to.

        Args:
            pairs: the input of a matrix product when many tokens are read, see api.h.
        """
        shape = (MAX_PREFILL_TOKENS, -(-width // GROUP) * GROUP) if self._many else (MAX_STEP_TOKENS, width)
        memory = np.zeros(shape, np.uint16 if pairs else np.float32)
        self._kept.append(memory)
        return Rows(at=memory.ctypes.data, stride=width, pairs=pairs)

    def _from(self, rows: Rows, start: int) -> Rows:
        """The features from `start` on."""
        return Rows(at=rows.at + start * 4 * (PANEL if self._many else 1), stride=rows.stride)


def _operation(kind: int, source: Rows, output: Rows, *, matrices: Sequence[Matrix] = (), **fields: Any) -> Operation:
    operation = Operation(kind=kind, input=source, output=output, n_matrices=len(matrices), **{"scale": 1.0, **fields})
    for number, matrix in enumerate(matrices):
        operation.matrices[number] = matrix
    return operation


def _array(operations: Sequence[Operation]) -> Any:
    return (Operation * len(operations))(*operations)
