"""Where a template's own syntax repeats or builds something, a call to the sandbox is put that charges for it.

Knows no budget: `BudgetEnvironment` in core/text/sandbox.py has the functions that are called.
"""

from __future__ import annotations

from jinja2 import nodes
from jinja2.visitor import NodeTransformer


class MeteringTransformer(NodeTransformer):
    """Puts the charges where a template's own syntax repeats or builds something."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja's own interface
        text = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        size = sum(1 for _ in node.find_all(nodes.Node))
        self.generic_visit(node)
        charge = nodes.ExprStmt(_own("tick", [nodes.Const(text + size)], node), lineno=node.lineno)
        node.body.insert(0, charge)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _own("joined", node.nodes, node)

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _own("made", [node], node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _own("made", [node], node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _own("made", [node], node) if node.ctx == "load" else node


def _own(name: str, values: list[nodes.Expr], at: nodes.Node) -> nodes.Call:
    function = nodes.EnvironmentAttribute(name, lineno=at.lineno)
    return nodes.Call(function, values, [], None, None, lineno=at.lineno)
