"""Which functions read which field of the API, found from the syntax trees of planning and controllers.

A small type inference follows annotated parameters, dataclasses, the API's models, calls and loops; it needs no more,
because mypy checks every signature. A function that renders a whole model (`manifest()`, `model_dump()`) reads all of
it.
"""

import ast
import importlib
import inspect
import pkgutil
import types
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

Types: TypeAlias = frozenset[Any]
Readers: TypeAlias = Mapping[tuple[type[BaseModel], str], tuple[str, ...]]
"""Names of functions (`planning.gpus.gpu_component`) by model and Python name of the field; `*` is the whole model."""

WHOLE = "*"
NOTHING: Types = frozenset()
_DUMPS = frozenset({"manifest", "model_dump"})
_ELEMENT = frozenset({"next", "min", "max"})
_SAME = frozenset({"tuple", "list", "sorted", "reversed", "set", "frozenset", "iter"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def find_readers(*packages: str) -> Readers:
    """Return the functions of these packages that read each field, sorted by name."""
    found: dict[tuple[type[BaseModel], str], set[str]] = defaultdict(set)
    for module in _modules(packages):
        for node, owner in _functions(ast.parse(inspect.getsource(module)), module):
            parts = (module.__name__.removeprefix("aimd."), owner.__name__ if owner is not None else "", node.name)
            read: set[tuple[type[BaseModel], str]] = set()
            _Walk(module, owner, read).function(node)
            for key in read:
                found[key].add(".".join(filter(None, parts)))
    return {key: tuple(sorted(names)) for key, names in found.items()}


def _modules(packages: Iterable[str]) -> Iterator[types.ModuleType]:
    for package in packages:
        root = importlib.import_module(package)
        for info in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not info.ispkg:
                yield importlib.import_module(info.name)


def _functions(tree: ast.Module, module: types.ModuleType) -> Iterator[tuple[ast.FunctionDef, type | None]]:
    for node in tree.body:
        if isinstance(node, _FUNCTIONS):
            yield node, None  # type: ignore[misc]  # async functions have the same fields
        elif isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, _FUNCTIONS):
                    yield item, vars(module).get(node.name)  # type: ignore[misc]


class _Walk:
    """Infer the types of one function's expressions, and collect the fields that are read."""

    def __init__(self, module: types.ModuleType, owner: type | None, read: set[tuple[type[BaseModel], str]]) -> None:
        self._module = module
        self._owner = owner
        self._read = read
        self._names: dict[str, Types] = {}

    def function(self, node: ast.FunctionDef) -> None:
        """Walk a function and the functions in it."""
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        for argument in arguments:
            if argument.annotation is not None:
                self._names[argument.arg] = self._annotation(argument.annotation)
            elif argument.arg == "self" and self._owner is not None:
                self._names["self"] = frozenset({self._owner})
        self._block(node.body)

    def _block(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                self._assign(targets[0], value, self._infer(value))
            case ast.AnnAssign(target=target, annotation=annotation, value=value):
                if value is not None:
                    self._infer(value)
                self._bind(target, self._annotation(annotation))
            case ast.For(target=target, iter=iterable, body=body, orelse=orelse):
                self._bind(target, _elements(self._infer(iterable)))
                self._block([*body, *orelse])
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.function(node)  # type: ignore[arg-type]
            case _:
                for child in ast.iter_child_nodes(node):
                    self._child(child)

    def _child(self, child: ast.AST) -> None:
        if isinstance(child, ast.stmt):
            self._statement(child)
        elif isinstance(child, ast.expr):
            self._infer(child)
        else:
            for inner in ast.iter_child_nodes(child):
                self._child(inner)

    def _assign(self, target: ast.expr, value: ast.expr, found: Types) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for part, source in zip(target.elts, value.elts, strict=True):
                self._bind(part, self._infer(source))
        else:
            self._bind(target, found)

    def _bind(self, target: ast.expr, found: Types) -> None:
        if isinstance(target, ast.Name):
            self._names[target.id] = found
        elif isinstance(target, ast.Tuple):
            for position, part in enumerate(target.elts):
                self._bind(part, _member(found, position))

    def _infer(self, node: ast.expr) -> Types:
        match node:
            case ast.Name(id=name):
                return self._names.get(name, _value(vars(self._module).get(name)))
            case ast.Attribute(value=value, attr=name):
                return self._attribute(self._infer(value), name)
            case ast.Call():
                return self._call(node)
            case ast.Subscript(value=value, slice=index):
                self._infer(index)
                return _elements(self._infer(value), keys=False)
            case ast.NamedExpr(target=target, value=value):
                found = self._infer(value)
                self._bind(target, found)
                return found
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                self._generators(node.generators)
                return frozenset(_sequence(item) for item in self._infer(node.elt))
            case ast.DictComp():
                self._generators(node.generators)
                self._infer(node.key)
                return frozenset(types.GenericAlias(Mapping, (str, item)) for item in self._infer(node.value))
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                return frozenset(_sequence(item) for item in self._all(items))
            case ast.Starred(value=value):
                return _elements(self._infer(value))
            case ast.Lambda(body=body):
                return self._infer(body)
            case _:
                return self._all(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))

    def _all(self, nodes: Iterable[ast.expr]) -> Types:
        return NOTHING.union(*[self._infer(node) for node in nodes])

    def _generators(self, generators: Sequence[ast.comprehension]) -> None:
        for generator in generators:
            self._bind(generator.target, _elements(self._infer(generator.iter)))
            for condition in generator.ifs:
                self._infer(condition)

    def _call(self, node: ast.Call) -> Types:
        first = self._infer(node.args[0]) if node.args else NOTHING
        for keyword in node.keywords:
            if isinstance(keyword.value, ast.Lambda) and keyword.value.args.args:
                self._names[keyword.value.args.args[0].arg] = _elements(first)
        arguments = [*node.args[1:], *(keyword.value for keyword in node.keywords)]
        rest = self._all(arguments)
        if isinstance(node.func, ast.Name) and node.func.id in _ELEMENT and node.func.id not in self._names:
            return _elements(first) | (rest if node.func.id == "next" else NOTHING)
        if isinstance(node.func, ast.Name) and node.func.id in _SAME and node.func.id not in self._names:
            return first
        if isinstance(node.func, ast.Attribute):
            return self._method(self._infer(node.func.value), node.func.attr)
        return frozenset().union(*[_returned(found) for found in self._infer(node.func)])

    def _method(self, owners: Types, name: str) -> Types:
        found: Types = NOTHING
        for owner in owners:
            if isinstance(owner, type) and issubclass(owner, BaseModel) and name in _DUMPS:
                self._read.add((owner, WHOLE))
            elif name in ("values", "get", "pop"):
                found |= _elements(frozenset({owner}), keys=False, wrap=name == "values")
            elif name == "items":
                found |= frozenset(
                    _sequence(types.GenericAlias(tuple, (str, item)))
                    for item in _elements(frozenset({owner}), keys=False)
                )
            elif isinstance(owner, type):
                found |= _returned(getattr(owner, name, None))
        return found

    def _attribute(self, owners: Types, name: str) -> Types:
        found: Types = NOTHING
        for owner in owners:
            if not isinstance(owner, type):
                continue
            if issubclass(owner, BaseModel) and name in owner.model_fields:
                self._read.add((owner, name))
                found |= _flat(owner.model_fields[name].annotation)
            elif isinstance(member := getattr(owner, name, None), property):
                found |= _returned(member.fget)
            else:
                found |= _flat(_hints(owner).get(name))
        return found

    def _annotation(self, node: ast.expr) -> Types:
        namespace = {**vars(self._module), **({self._owner.__name__: self._owner} if self._owner else {})}
        try:
            return _flat(eval(ast.unparse(node), namespace))  # noqa: S307 - our own annotations
        except (NameError, TypeError, SyntaxError):
            return NOTHING


def _value(value: Any) -> Types:
    """Return the type of a module's name: functions and classes stand for themselves, so that calls find them."""
    if isinstance(value, types.FunctionType | type):
        return frozenset({value})
    return frozenset({type(value)}) if value is not None else NOTHING


def _returned(value: Any) -> Types:
    """Return what calling a function gives; calling a class gives the class."""
    if isinstance(value, type):
        return frozenset({value})
    value = getattr(value, "__func__", value)
    return _flat(_hints(value).get("return")) if isinstance(value, types.FunctionType) else NOTHING


def _hints(value: Any) -> dict[str, Any]:
    try:
        return get_type_hints(value)
    except (NameError, TypeError, AttributeError):
        return {}


def _sequence(item: Any) -> Any:
    return types.GenericAlias(Sequence, (item,))


def _flat(annotation: Any) -> Types:
    """Return the alternatives of an annotation, without None."""
    if annotation is None or annotation is type(None):
        return NOTHING
    if get_origin(annotation) is Annotated:
        return _flat(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return NOTHING.union(*[_flat(item) for item in get_args(annotation)])
    return frozenset({annotation})


def _elements(containers: Types, *, keys: bool = True, wrap: bool = False) -> Types:
    """Return the types of a container's elements; of a mapping the keys, or with `keys` False the values."""
    found: Types = NOTHING
    for container in containers:
        arguments = [item for item in get_args(container) if item is not Ellipsis]
        if not arguments:
            continue
        mapping = (
            len(arguments) == 2 and isinstance(origin := get_origin(container), type) and issubclass(origin, Mapping)
        )
        if mapping:
            items = _flat(arguments[0 if keys else 1])
            found |= frozenset(_sequence(item) for item in items) if wrap else items
        else:
            found |= NOTHING.union(*[_flat(item) for item in arguments])
    return found


def _member(containers: Types, position: int) -> Types:
    """Return the types of one member of a tuple."""
    found: Types = NOTHING
    for container in containers:
        arguments = get_args(container)
        origin: Any = get_origin(container)
        if origin is tuple and Ellipsis not in arguments and position < len(arguments):
            found |= _flat(arguments[position])
        else:
            found |= _elements(frozenset({container}))
    return found
