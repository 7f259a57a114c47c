"""Python of the sandbox's templates: what Jinja makes, with the three things that every mail does
hundreds of times written out instead of called.

A mail with five products asks for two hundred values and prints sixty. Each was two or three
calls; written out, the usual case (a value of a plain dict, a plain text) is none or one. The
unusual cases go through the sandbox as before, so that what is allowed stays in one place.
"""

from __future__ import annotations

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame, optimizeconst

#: Attribute of the environment that a loop calls at each turn.
TURN = "turn"


class Generator(CodeGenerator):
    """For a ``Sandbox``, whose ``getattr``, ``in_html``, ``in_text`` and ``turn`` it uses."""

    def write_commons(self) -> None:
        super().write_commons()
        for name in ("getattr", "in_html", "in_text", TURN):
            self.writeline(f"of_{name} = environment.{name}")

    @optimizeconst
    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:
        """The same as ``Sandbox.getattr``, which begins with this case."""
        self.write("(v_ if (o_ := ")
        self.visit(node.node, frame)
        name = repr(node.attr)
        self.write(
            f").__class__ is dict and (v_ := o_.get({name})) is not None "
            f"else of_getattr(o_, {name}))"
        )

    def visit_ExprStmt(self, node: nodes.ExprStmt, frame: Frame) -> None:
        """Count a turn (see steps.py) without asking whether that may be called."""
        if isinstance(node.node, nodes.EnvironmentAttribute) and node.node.name == TURN:
            self.writeline(f"of_{TURN}()", node)
        else:
            super().visit_ExprStmt(node, frame)

    def _output_child_pre(
        self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo
    ) -> None:
        if frame.eval_ctx.volatile:
            self.write("(of_in_html if context.eval_ctx.autoescape else of_in_text)(")
        else:
            self.write("of_in_html(" if frame.eval_ctx.autoescape else "of_in_text(")

    def _output_child_post(
        self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo
    ) -> None:
        self.write(")")
