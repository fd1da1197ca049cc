"""What pages that stand on their own have in common: templates, data inside the markup, a policy that forbids the rest."""

import base64
import hashlib
import json

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_environment() -> Environment:
    """Return where templates come from; everything that they print is escaped, save what is marked safe."""
    return Environment(
        loader=PackageLoader("sr_datasets.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def part_of_page(environment: Environment, name: str) -> str:
    """Return a file beside the templates as it is, such as a page's style or program."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def compact(facts: object) -> str:
    """Return JSON without spaces."""
    return json.dumps(facts, separators=(",", ":"))


def embedded(facts: object) -> str:
    """Return JSON that may stand in a script element: nothing in it can end the element or open another."""
    return compact(facts).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def csp_hash(text: str) -> str:
    """Return the digest by which a content security policy names a style or a program."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
