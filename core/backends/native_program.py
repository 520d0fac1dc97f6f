"""The transformer as a list of operations for the C library, written down once and carried out for every token.

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
from core.native.bindings import MAX_PREFILL_TOKENS, MAX_STEP_TOKENS, PANEL, Buffer, Heads, Matrix, Norm, Operation
from core.native.quantize import FORMATS, matrix_of
from core.quantization.formats import GROUP
from core.quantization.layers import QuantizedEmbedding, QuantizedLinear
from core.quantization.packed import Packed
from core.transformer import Block, Transformer

_ACTIVATIONS = {"silu": c.SILU, "gelu": c.GELU, "gelu_tanh": c.GELU_TANH, "relu": c.RELU}
_NO_NORM = Norm(kind=c.NO_NORM)


class Program:
    """The operations of a model, and the buffers they work in.

    `forward` computes hidden states, `unembed` logits from these, `decode` does both. Weights are not copied: the
    operations point at the transformer's own, which must therefore outlive the program.
    """

    def __init__(self, transformer: Transformer, dtype: torch.dtype, *, prefill: bool = False) -> None:
        """
        Args:
            prefill: for `MAX_PREFILL_TOKENS` in one call, and none of their logits.
        """
        config = transformer.config
        self._prefill = prefill
        self._transformer = transformer
        self._config = config
        self._dtype = dtype
        self._kept_alive: list[Any] = []  # what the operations point at
        self._columns = 0
        self._x = self._buffer(config.d_model)  # the residual stream
        self._branch = self._buffer(config.d_model)  # what a layer adds, where it is not added at once
        self._qkv = self._buffer((config.n_heads + 2 * config.n_kv_heads) * config.d_head)
        self._attention_out = self._buffer(config.n_heads * config.d_head, vnni=prefill)
        self._feed_forward_hidden = self._buffer(config.d_ff, vnni=prefill)
        forward = [self._embed(), *(op for number in range(config.n_layers) for op in self._layer(number))]
        final = self._normalize(self._x, self._branch, transformer.norm)
        final.store_hidden = True
        unembed = [] if prefill else [self._load_hidden(), self._unembed()]
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
            matrices.append(self._unquantized(transformer.position_table.to(self._dtype)))
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
                yield self._normalize(x, x, block.attention_sum_norm)
                yield from self._feed_forward(block, block.feed_forward_norm, x, add=True)
                yield self._normalize(x, x, block.feed_forward_sum_norm)
            case "sandwich" | "branch":
                yield from self._attention(block, block.attention_norm, branch)
                yield self._normalize(branch, x, block.attention_out_norm, add=True)
                yield from self._feed_forward(block, block.feed_forward_norm, branch)
                yield self._normalize(branch, x, block.feed_forward_out_norm, add=True)
            case "parallel" | "parallel, two norms":
                own = self._config.residual == "parallel, two norms"
                yield from self._attention(block, block.attention_norm, branch)
                norm = block.feed_forward_norm if own else block.attention_norm
                yield from self._feed_forward(block, norm, branch, add=True)
                yield self._normalize(branch, x, nn.Identity(), add=True)

    def _attention(self, block: Block, norm: nn.Module, output: Buffer, *, add: bool = False) -> Iterator[Operation]:
        config, attention = self._config, block.attention
        yield from self._linear(self._x, self._qkv, [attention.query, attention.key, attention.value], norm=norm)
        if attention.norm_across_heads:
            queries, keys = config.n_heads * config.d_head, config.n_kv_heads * config.d_head
            for module, start, width in ((attention.query_norm, 0, queries), (attention.key_norm, queries, keys)):
                part = self._slice(self._qkv, start)
                yield self._normalize(part, part, module, width=width)
        heads = self._heads(attention)
        yield _operation(c.ROPE_STORE_KV, self._qkv, self._qkv, heads=heads)
        yield _operation(c.ATTEND, self._qkv, self._attention_out, heads=heads)
        yield from self._linear(self._attention_out, output, [attention.output], add=add, scale=self._scale_of(output))

    def _heads(self, attention: Attention) -> Heads:
        config, layer = self._config, attention.layer
        windowed = layer in config.windowed_layers
        rotated = config.positions == "rope" and layer not in config.nope_layers
        rope = (config.rope_local if windowed else None) or config.rope
        norms = [_NO_NORM] * 2
        if config.qk_norm and not attention.norm_across_heads:
            norms = [self._norm(attention.query_norm), self._norm(attention.key_norm)]
        return Heads(
            layer=layer,
            n_heads=config.n_heads,
            n_kv_heads=config.n_kv_heads,
            d_head=config.d_head,
            rope_table=int(windowed) if rotated else -1,
            rope_width=rope.width or config.d_head,
            window=config.window if windowed else 0,
            norm_per_head=config.qk_norm_over == "own head",
            scale=attention.scale,
            softcap=attention.softcap or 0.0,
            query_norm=norms[0],
            key_norm=norms[1],
        )

    def _feed_forward(self, block: Block, norm: nn.Module, output: Buffer, *, add: bool = False) -> Iterator[Operation]:
        layer = block.feed_forward
        if isinstance(layer, Experts):
            yield from self._mixture(layer, norm, output, add=add)
            return
        assert isinstance(layer, FeedForward)
        activation = _ACTIVATIONS[self._config.activation]
        matrices = [layer.up] if layer.gate is None else [layer.gate, layer.up]
        gated = layer.gate is not None
        yield from self._linear(
            self._x, self._feed_forward_hidden, matrices, norm=norm, activation=activation, gated=gated
        )
        yield from self._linear(self._feed_forward_hidden, output, [layer.down], add=add, scale=self._scale_of(output))

    def _mixture(self, layer: Experts, norm: nn.Module, output: Buffer, *, add: bool) -> Iterator[Operation]:
        config = self._config
        matrices = (Matrix * (3 * config.n_experts))()
        for number, expert in enumerate(layer.experts):
            for index, module in enumerate((expert.gate, expert.up, expert.down)):
                if module is not None:
                    matrices[3 * number + index] = self._matrix(module)
        self._kept_alive.append(matrices)
        experts = c.Experts(
            n_experts=config.n_experts,
            n_used=config.n_experts_used,
            renormalize=config.renormalised,
            matrices=addressof(matrices),
            routing=self._buffer(2 * config.n_experts_used),
        )
        scores, hidden = self._buffer(config.n_experts), self._buffer(config.n_experts_used * config.d_expert)
        yield from self._linear(self._x, scores, [layer.router], norm=norm)
        yield _operation(c.ROUTE, scores, scores, experts=experts)
        yield _operation(
            c.EXPERTS_UP,
            self._x,
            hidden,
            norm=self._norm(norm),
            experts=experts,
            activation=_ACTIVATIONS[config.activation],
            gated=config.gated,
        )
        yield _operation(c.EXPERTS_DOWN, hidden, output, experts=experts, add=add, scale=self._scale_of(output))

    def _scale_of(self, output: Buffer) -> float:
        """What a layer adds is scaled when it is added to the residual stream."""
        return self._config.residual_scale if output is self._x else 1.0

    def _load_hidden(self) -> Operation:
        return _operation(c.LOAD_HIDDEN, self._branch, self._branch, width=self._config.d_model)

    def _unembed(self) -> Operation:
        logits = Buffer(data=None, stride=self._config.vocab_size)
        (operation,) = self._linear(self._branch, logits, [self._transformer.head], scale=self._config.logit_scale)
        operation.softcap = self._config.logit_softcap or 0.0
        return operation

    # --- the parts of operations --------------------------------------------------------------------------------------

    def _linear(
        self,
        source: Buffer,
        output: Buffer,
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

    def _normalize(
        self, source: Buffer, output: Buffer, module: nn.Module, *, add: bool = False, width: int | None = None
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
            weight=self._float32(module.weight),
            bias=self._float32(getattr(module, "bias", None)),
        )

    def _matrix(self, module: Any) -> Matrix:
        bias = self._float32(module.bias)
        if isinstance(module, QuantizedLinear):
            return self._quantized(module.packed, bias)
        return self._unquantized(module.weight, bias)

    def _table(self, module: Any) -> Matrix:
        if isinstance(module, QuantizedEmbedding):
            return self._quantized(module.packed)
        return self._unquantized(module.weight)

    def _unquantized(self, weight: Tensor, bias: int | None = None) -> Matrix:
        weight = weight.contiguous()
        self._kept_alive.append(weight)
        rows, columns = weight.shape
        self._columns = max(self._columns, columns)
        return Matrix(format=FORMATS[weight.dtype], rows=rows, columns=columns, weights=weight.data_ptr(), bias=bias)

    def _quantized(self, packed: Packed, bias: int | None = None) -> Matrix:
        self._kept_alive.append(packed)
        self._columns = max(self._columns, packed.columns)
        matrix = matrix_of(packed)
        matrix.bias = bias
        return matrix

    def _float32(self, vector: Tensor | None) -> int | None:
        """The address of a vector in float32: these are small."""
        if vector is None:
            return None
        copy = vector.detach().float().contiguous()
        self._kept_alive.append(copy)
        return copy.data_ptr()

    def _buffer(self, width: int, *, vnni: bool = False) -> Buffer:
        """Activations of as many tokens as a call takes, in memory that is only taken once it is written to.

        Args:
            vnni: the input of a matrix product of a prefill, see api.h.
        """
        shape = (MAX_PREFILL_TOKENS, -(-width // GROUP) * GROUP) if self._prefill else (MAX_STEP_TOKENS, width)
        memory = np.zeros(shape, np.uint16 if vnni else np.float32)
        self._kept_alive.append(memory)
        return Buffer(data=memory.ctypes.data, stride=width, vnni=vnni)

    def _slice(self, buffer: Buffer, start: int) -> Buffer:
        """The same buffer from feature `start` on."""
        return Buffer(data=buffer.data + start * 4 * (PANEL if self._prefill else 1), stride=buffer.stride)


def _operation(
    kind: int, source: Buffer, output: Buffer, *, matrices: Sequence[Matrix] = (), **fields: Any
) -> Operation:
    operation = Operation(kind=kind, input=source, output=output, n_matrices=len(matrices), **{"scale": 1.0, **fields})
    for number, matrix in enumerate(matrices):
        operation.matrices[number] = matrix
    return operation


def _array(operations: Sequence[Operation]) -> Any:
    return (Operation * len(operations))(*operations)
