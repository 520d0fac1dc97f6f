"""Chat templates that are broken, run in circles, reach for Python, or never come to an end."""

from __future__ import annotations

from collections.abc import Iterator

from tests.core.support.hostile_templates import ATTACKS, ENDLESS, FAULTS, UNREADABLE
from tests.weights.support.damage import Damage, Good, write, write_json

_OBJECTS = (
    *("messages", "messages[0]", "''", "()", "[]", "{}", "0", "0.5", "true", "none", "undefined_name", "self", "range"),
    *("namespace()", "namespace", "cycler('a')", "joiner()", "lipsum", "dict", "raise_exception", "strftime_now"),
    *("messages[0].content.format", "[].append", "bos_token", "tools", "('' | escape)", "(messages | map('upper'))"),
)
_REACHES = (
    *("{{ OBJECT.__class__.__mro__ }}", "{{ OBJECT['__class__'] }}", "{{ (OBJECT | attr('__class__')) }}"),
    *("{{ OBJECT.__init__.__globals__ }}", "{{ OBJECT.__globals__['sys'] }}", "{{ OBJECT.__self__.__dict__ }}"),
    *(
        "{{ '{0.__class__}'.format(OBJECT) }}",
        "{{ '%s' | format(OBJECT.__class__) }}",
        "{{ OBJECT.gi_frame.f_globals }}",
    ),
    *("{{ [OBJECT] | map(attribute='__class__') | list }}", "{{ '{x.__init__}'.format_map({'x': OBJECT}) }}"),
    *("{{ OBJECT.__reduce_ex__(4) }}", "{{ ([OBJECT] | groupby('__class__'))[0][0] }}", "{{ OBJECT() }}"),
)
_CYCLES = (
    "{% include 'x' %}",
    "{% extends 'x' %}",
    "{% extends self %}",
    "{% import 'x' as x %}{{ x }}",
    "{% from 'x' import y %}",
    "{% block a %}{{ self.a() }}{% endblock %}",
    "{% block a %}{{ self.b() }}{% endblock %}{% block b %}{{ self.a() }}{% endblock %}",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
    "{% macro a(f) %}{{ f(f) }}{% endmacro %}{{ a(a) }}",
    "{% macro a() %}{{ caller() }}{{ a() }}{% endmacro %}{% call a() %}x{% endcall %}",
    "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
    "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns.x.x.x.x | tojson }}",
    "{% set ns = namespace(x=[]) %}{% set ns.x = [ns.x, ns] %}{{ ns.x | tojson }}",
    "{% set ns = namespace(n=1) %}{% for i in range(100000) %}{% set ns.n = ns.n * 3 %}{% endfor %}{{ ns.n }}",
)


def damages(good: Good) -> Iterator[Damage]:
    must_fail = {
        "endless templates": ENDLESS,
        "cyclic templates": list(_CYCLES),
        "broken templates": FAULTS + UNREADABLE,
    }
    for kind, sources in must_fail.items():
        for source in sources:
            yield _template(kind, source, says="chat template")
    for source in ATTACKS:
        yield _template("escaping templates", source, says="chat template")
    for reach in _REACHES:
        for value in _OBJECTS:
            yield _template("escaping templates", reach.replace("OBJECT", value), may_open=True)
    for source in (*ENDLESS[:3], *UNREADABLE):
        table = good.json("directory/tokenizer_config.json") | {"chat_template": source}
        change = write_json("tokenizer_config.json", table)
        yield Damage(kind="broken templates", name=source[:60], model="directory", change=change, says="chat template")


def _template(kind: str, source: str, *, may_open: bool = False, says: str = "") -> Damage:
    change = write("chat_template.jinja", source.encode())
    return Damage(kind=kind, name=source[:80], model="directory", change=change, may_open=may_open, says=says)
