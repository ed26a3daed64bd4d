"""Pages without external resources, filled in from templates."""

from __future__ import annotations

from importlib import resources
from typing import Any

from diar_ops._errors import DiarError


def render_page(op: str, template: str, *, package: str = __package__, **values: Any) -> str:
    """Fill in a template; what is not marked safe is escaped.

    Args:
        op: Name of the calling function, for the message.
        template: File name in ``package``; it may include files of this package, too.
        package: Package that holds the template.
        values: Variables of the template.

    Raises:
        DiarError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise DiarError(f"{op} needs jinja2; install it with: pip install 'diar-ops[examples]'") from error
    folders = [resources.files(name) for name in (package, __package__)]

    def read(name: str) -> str | None:
        files = (folder.joinpath(name) for folder in folders)
        return next((file.read_text("utf-8") for file in files if file.is_file()), None)

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page: str = environment.get_template(template).render(**values)
    return page
