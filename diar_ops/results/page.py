"""Pages without external resources: the templates of the package and how they are filled in."""

from __future__ import annotations

from importlib import resources
from typing import Any

from diar_ops._errors import DiarError

__all__ = ["render_page"]


def render_page(op: str, template: str, **values: Any) -> str:
    """Fill in a template; what is not marked safe is escaped.

    Args:
        op: Who asks, for the message.
        template: Path within the package, such as ``"results/report.html.j2"``; templates include
            others likewise.
        values: What it names.

    Raises:
        DiarError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise DiarError(
            f"{op} needs jinja2; install it with: pip install 'diar-ops[examples]'"
        ) from error
    package = resources.files("diar_ops")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: package.joinpath(name).read_text("utf-8")),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    page: str = environment.get_template(template).render(**values)
    return page
