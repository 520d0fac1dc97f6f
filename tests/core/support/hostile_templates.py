"""Chat templates that reach for Python, fail, cannot be read, or would never come to an end. Knows no test."""

from __future__ import annotations

ATTACKS = [
    "{{ ''.__class__.__mro__ }}",
    "{{ ().__class__.__bases__[0].__subclasses__() }}",
    "{{ messages.__class__.__name__ }}",
    "{{ ''['__class__'].__mro__ }}",
    "{{ (messages | attr('__class__')).__mro__ }}",
    "{{ raise_exception.__globals__['jinja2'] }}",
    "{{ strftime_now.__globals__['datetime'] }}",
    "{{ cycler.__init__.__globals__.os.popen('true').read() }}",
    "{{ lipsum.__globals__['os'] }}",
    "{{ self._TemplateReference__context.environment }}",
    "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "{{ '{m.__class__.__mro__}'.format_map({'m': messages}) }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update(role='system') }}",
    "{{ messages[0].clear() }}",
    "{{ range(10 ** 9) | list | length }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
]

FAULTS = [
    "{{ raise_exception('Roles must alternate') }}",
    "{{ nothing.at.all }}",
    "{{ messages[99].content }}",
    "{{ 1 / 0 }}",
    "{{ 'a' + 1 }}",
    "{{ strftime_now(3) }}",
    "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    "{{ 'a' * 10 ** 15 }}",
    "{{ messages | tojson(no_such_option=1) }}",
]

UNREADABLE = [
    "{% if %}",
    "{{ 'open",
    "{% for m in messages %}",
    "{{ x | no_such_filter }}",
    "{% nonsense %}",
    "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "{% for a in messages %}" * 40 + "{% endfor %}" * 40,
]


DOUBLING = "{% set ns = namespace(x=START) %}{% for _ in range(100) %}{% set ns.x = STEP %}{% endfor %}"


def doubling(start: str, step: str, end: str) -> str:
    return DOUBLING.replace("START", start).replace("STEP", step) + end


# Each would run for hours, or fill any memory, or both.
ENDLESS = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) %}" + "x" * 10_000 + "{% endfor %}{% endfor %}",
    "{% for a in range(99999) if range(99999) | list | length < 0 %}{% endfor %}"
    "{% for b in range(99999) %}{% for a in range(99999) if a < 0 %}{% endfor %}{% endfor %}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(90) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% for a in [[[[]]]] recursive %}{{ loop([a, a]) }}{% endfor %}",
    "{% block b %}{{ self.b() }}{% endblock %}",
    doubling("'ab'", "ns.x ~ ns.x", "{{ ns.x }}"),
    doubling("'ab'", "ns.x + ns.x", "{{ ns.x }}"),
    doubling("'ab'", "ns.x * 2", "{{ ns.x }}"),
    doubling("'ab'", "ns.x.replace('a', 'aa')", "{{ ns.x }}"),
    doubling("'ab'", "ns.x | replace('a', 'aa')", "{{ ns.x }}"),
    doubling("'ab'", "ns.x.join([ns.x, ns.x, ns.x])", "{{ ns.x }}"),
    doubling("'ab'", "[ns.x, ns.x] | join(ns.x)", "{{ ns.x }}"),
    doubling("'ab'", "'%s%s' % (ns.x, ns.x)", "{{ ns.x }}"),
    doubling("'ab'", "'{0}{0}'.format(ns.x)", "{{ ns.x }}"),
    doubling("'ab'", "'%s%s' | format(ns.x, ns.x)", "{{ ns.x }}"),
    doubling("'ab'", "ns.x | map('string') | map('replace', 'a', 'aaaa') | join", "{{ ns.x }}"),
    doubling("[1]", "ns.x + ns.x", "{{ ns.x | length }}"),
    doubling("[1]", "ns.x * 2", "{{ ns.x | length }}"),
    doubling("[1]", "[ns.x, ns.x]", "{{ ns.x }}"),
    doubling("[1]", "(ns.x, ns.x)", "{{ {ns.x: 1} }}"),
    doubling("[1]", "{'a': ns.x, 'b': ns.x}", "{{ ns.x | tojson }}"),
    doubling("[1]", "dict(a=ns.x, b=ns.x)", "{{ ns.x == ns.x }}"),
    doubling("[1]", "[1] | batch(9, ns.x) | list", "{{ ns.x }}"),
    doubling("ns", "namespace(a=ns.x, b=ns.x)", "{{ ns.x }}{{ [ns.x] * 10 ** 7 }}"),
    doubling("3", "ns.x * ns.x", "{{ ns.x }}"),
    doubling("3", "ns.x ** ns.x", "{{ ns.x }}"),
    "{% set ns = namespace(x='ab' * 99) %}{% for _ in range(9999) %}{% set ns.x = ns.x + 'ab' * 999 %}{% endfor %}",
    "{{ 'a' * 10 ** 9 }}",
    "{{ 10 ** 9 * 'a' }}",
    "{{ [0] * 10 ** 9 }}",
    "{{ 9 ** (9 ** 9) }}",
    "{{ 2.5 | round(10 ** 9, 'ceil') }}",
    "{{ 'a' | center(10 ** 9) }}",
    "{{ 'a'.center(10 ** 9) }}",
    "{{ 'a'.ljust(10 ** 9) }}",
    "{{ ''['zfill'](10 ** 9) }}",
    "{{ ('\t' * 9999).expandtabs(10 ** 6) }}",
    "{{ ('a' * 9999).translate({97: 'a' * 99999}) }}",
    "{{ (5).to_bytes(10 ** 9, 'big') }}",
    "{{ ((5).from_bytes(('9' * 999999).encode(), 'big') // 7) }}",
    "{{ ('a' * 99999).encode().replace('a'.encode(), ('a' * 99999).encode()) }}",
    "{{ '%999999999d' % 1 }}",
    "{{ '%*d' % (999999999, 1) }}",
    "{{ '%999999999d' | format(1) }}",
    "{{ '{:999999999}'.format(1) }}",
    "{{ '{:{w}}'.format(1, w=999999999) }}",
    "{{ ('\n' * 99999) | indent(9999) }}",
    "{{ ('\n' * 9999) | indent('a' * 9999) }}",
    "{{ [1] | batch(10 ** 9, 1) | list }}",
    "{{ [1] | slice(10 ** 9) | list | length }}",
    "{{ lipsum(10 ** 9) }}",
    "{{ lipsum(n=1, min=10 ** 9, max=10 ** 10) }}",
    "{{ range(99999) | list | tojson(indent=10 ** 6) }}",
    "{{ range(99999) | list | tojson(separators=['a' * 99999, 'b']) }}",
    "{{ range(99999) | map('center', 9999) | list | length }}",
    "{{ (['a'] * 200000) | join('a' * 99999) }}",
    "{{ ('a' * 99999).join(['a'] * 200000) }}",
    "{{ ([[1, 2, 3]] * 60000) | sum(start=[]) | length }}",
    "{{ ('<!---->' * 200000) | striptags }}",
    "{{ ('a' * 999999) | wordwrap(1) }}",
    "{% set a = 'a' * 999999 %}{% for _ in range(99999) %}{% for _ in range(99) %}{{ a == a[:-1] + 'a' }}{% endfor %}"
    "{% endfor %}",
    "{% macro f() %}{% for _ in range(99999) %}" + "x" * 999 + "{% endfor %}{% endmacro %}{{ f() }}{{ f() }}{{ f() }}",
    "{% set x %}{% for _ in range(99999) %}" + "x" * 999 + "{% endfor %}{% endset %}{{ x }}",
]
